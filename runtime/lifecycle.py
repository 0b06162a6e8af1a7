"""The parts of a process: started in order, watched while they run, and stopped in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import structlog

from ..schemas.errors import ModelMeshError, PartFailed

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

# Default time limit in seconds to stop a part. After that it is cancelled, and has CANCEL_SECONDS to end.
STOP_SECONDS = 10.0
CANCEL_SECONDS = 2.0
# Each part has at least this, even if the time limit of all parts is used up.
MIN_SECONDS = 0.05


class StopRequested(Exception):
    """A stop was requested while the process was starting."""


class Lifecycle:
    """The parts of one process. Use it as an async context manager: all parts are stopped when the block ends.

    ```python
    async with Lifecycle(stop) as parts:
        await parts.start("producer", producer.start(), producer.stop)
        parts.run("releases", releases.run())
        await parts.wait(releases.ready.wait())
        await parts.until_stopped()
    ```

    Leaving the block raises PartFailed, which names the failed part and whether it failed at its start, while it ran or at its
    end. A ModelMeshError is raised unchanged. A stop that is requested while the block waits for a part ends the block without
    an error.
    """

    def __init__(
        self, stop: asyncio.Event, stop_seconds: float = STOP_SECONDS, *, all_seconds: float | None = None
    ) -> None:
        """`stop_seconds` is the default time limit to stop a part, `all_seconds` the limit for all parts together."""
        self._stop_seconds = stop_seconds
        self._all_seconds = all_seconds
        self._ends: dict[str, tuple[Callable[[], Awaitable[None]], float]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failure.add_done_callback(
            lambda failure: failure.exception()
        )  # so that asyncio does not log it as never retrieved
        self._latest = math.inf
        self._stopping = asyncio.create_task(stop.wait())
        # Parts that did not stop in time. Their threads may keep the process from ending.
        self.stuck: list[str] = []

    async def __aenter__(self) -> Lifecycle:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._all_seconds is not None:
            self._latest = asyncio.get_running_loop().time() + self._all_seconds
        failures = [failure for name in reversed(list(self._ends)) if (failure := await self.end(name)) is not None]
        self._stopping.cancel()
        if error is None or isinstance(error, StopRequested):
            if self._failure.done():
                self._failure.result()
            if failures:
                raise failures[0]
        return isinstance(error, StopRequested)

    async def start(
        self,
        name: str,
        starting: Awaitable[Any],
        stop: Callable[[], Awaitable[Any]],
        *,
        stop_seconds: float | None = None,
    ) -> None:
        """Start a part that runs by itself. `stop` is called at the end, also if the start fails."""
        self.at_end(name, stop, stop_seconds=stop_seconds)
        await self.wait(starting, name)

    async def enter(
        self, name: str, manager: AbstractAsyncContextManager[Result], *, stop_seconds: float | None = None
    ) -> Result:
        """Start a part that is an async context manager; return what it yields."""
        entered = await self.wait(manager.__aenter__(), name)
        self.at_end(name, partial(manager.__aexit__, None, None, None), stop_seconds=stop_seconds)
        return entered

    def run(
        self,
        name: str,
        work: Coroutine[Any, Any, Any],
        *,
        stop: Callable[[], None] | None = None,
        stop_seconds: float | None = None,
    ) -> None:
        """Run a part as a task that does not end by itself. At the end `stop` is called; without it, the task is cancelled."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda _: self._ended(name, task))

        async def end() -> None:
            if task.done():
                return  # `_ended` has reported it
            if stop is not None:
                stop()
            else:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._ends[name] = (end, self._stop_seconds if stop_seconds is None else stop_seconds)

    def at_end(self, name: str, stop: Callable[[], Awaitable[Any]], *, stop_seconds: float | None = None) -> None:
        """Await `stop()` at the end, before the parts that were added earlier are stopped."""
        self._ends[name] = (stop, self._stop_seconds if stop_seconds is None else stop_seconds)

    def fail(self, name: str, error: BaseException) -> None:
        """Report that a part failed while it ran."""
        if not self._failure.done():
            self._failure.set_exception(_named(name, "while it ran", error))

    async def wait(self, work: Awaitable[Result], name: str = "start") -> Result:
        """Return the result of `work`.

        Raises PartFailed if `work` or a part fails, and StopRequested when a stop is requested.
        """
        waiting = asyncio.ensure_future(work)
        try:
            first: set[asyncio.Future[Any]] = {waiting, self._stopping, self._failure}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            if not waiting.done():
                raise StopRequested
            try:
                return waiting.result()
            except Exception as error:
                raise _named(name, "at its start", error) from error
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait([waiting], timeout=CANCEL_SECONDS)

    @property
    def failed(self) -> bool:
        """Whether a part has failed."""
        return self._failure.done()

    async def until_stopped(self) -> None:
        """Return when a stop is requested. Raises PartFailed as soon as a part fails."""
        first: set[asyncio.Future[Any]] = {self._stopping, self._failure}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if self._failure.done():
            self._failure.result()

    async def end(self, name: str) -> ModelMeshError | None:
        """Stop one part now, within its time limit; return the error if that failed."""
        stop, seconds = self._ends.pop(name)
        seconds = max(MIN_SECONDS, min(seconds, self._latest - asyncio.get_running_loop().time()))
        stopping = asyncio.create_task(_awaited(stop), name=f"stop {name}")
        await asyncio.wait([stopping], timeout=seconds)
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait([stopping], timeout=CANCEL_SECONDS)
            self.stuck.append(name)
            error: BaseException | None = TimeoutError(f"it did not stop within {seconds:g} s")
        else:
            error = None if stopping.cancelled() else stopping.exception()
        if error is None:
            return None
        failure = _named(name, "at its end", error)
        log.warning("part.not_stopped", part=name, reason=failure.detail)
        return failure

    def _ended(self, name: str, task: asyncio.Task[Any]) -> None:
        if name not in self._ends:
            return  # it was stopped on purpose
        error = RuntimeError("it was cancelled") if task.cancelled() else task.exception()
        self.fail(name, error or RuntimeError("it ended by itself"))


async def _awaited(stop: Callable[[], Awaitable[Any]]) -> None:
    await stop()


def _named(name: str, when: str, error: BaseException) -> ModelMeshError:
    """Return an error that names the failed part and when it failed."""
    if isinstance(error, ModelMeshError):
        return error
    message = " ".join(str(error).split())
    failed = PartFailed(f"{name} failed {when}: {type(error).__name__}{': ' if message else ''}{message}")
    failed.__cause__ = error
    return failed
