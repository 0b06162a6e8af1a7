"""Answers that never end (server-sent events): each is ended when its key is over, and when the gateway stops."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import orjson
from aiohttp import web

from ..access.caller import Caller, caller
from ..schemas.errors import RateLimited
from ..telemetry.http import FOR_CLIENT_KEY

T = TypeVar("T")
Write: TypeAlias = Callable[[bytes], Awaitable[None]]
# How often the keys of open streams are looked at; each is also looked at before anything is written for it.
EVERY = 0.5
RETRY_AFTER = 5.0
# How long the word that a stream is over may take.
LAST_WORD = 1.0


class EventStreams:
    """The streams that are open, of all routes: so many at most for each key or token.

    `invalid_reason` says of a caller that was let in why it would not be any more.
    """

    def __init__(self, most: int, invalid_reason: Callable[[Caller], str | None]) -> None:
        self._most = most
        self._invalid_reason = invalid_reason
        self._open: dict[asyncio.Task[Any], tuple[Caller, asyncio.Timeout]] = {}
        self._count: Counter[str] = Counter()
        self._watching: asyncio.Task[None] | None = None

    def end_with(self, app: web.Application) -> None:
        """End all streams when the application shuts down."""
        app.on_shutdown.append(self._end)

    async def serve(self, request: web.Request, feed: Callable[[Write], Awaitable[None]]) -> web.StreamResponse:
        """Answer a request with what `feed` writes, until the caller's key is over, or the caller or the gateway goes.

        Raises RateLimited where the key has as many streams as may be.
        """
        who = caller.get()
        if who.known and self._count[who.key] >= self._most:
            raise RateLimited(
                f"{who.name!r} has {self._most} streams open, as many as may be for one key: close one first, or ask for "
                "all models' events in one",
                retry_after=RETRY_AFTER,
            )
        self._count[who.key] += 1
        try:
            return await self._serve(request, who, feed)
        finally:
            self._count[who.key] -= 1
            if not self._count[who.key]:
                del self._count[who.key]

    async def _serve(
        self, request: web.Request, who: Caller, feed: Callable[[Write], Awaitable[None]]
    ) -> web.StreamResponse:
        request[FOR_CLIENT_KEY] = True
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        task = asyncio.current_task()
        assert task is not None

        async def write(data: bytes) -> None:
            if self._invalid_reason(who) is not None:
                raise _Over
            await response.write(data)

        await response.prepare(request)
        until = asyncio.timeout(None if who.expires_at is None else max(0.0, who.expires_at - time.time()))
        try:
            async with until:
                self._open[task] = who, until
                self._watch()
                await feed(write)
        except _Over:
            pass
        except TimeoutError:
            if not until.expired():
                raise
        finally:
            self._open.pop(task, None)
        document = {"detail": self._invalid_reason(who) or "this stream has ended"}
        with contextlib.suppress(TimeoutError):  # who does not read is not waited for
            async with asyncio.timeout(LAST_WORD):
                await response.write(b"event: end\ndata: " + orjson.dumps(document) + b"\n\n")
        return response

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._end_those_over())

    async def _end_those_over(self) -> None:
        while self._open:
            await asyncio.sleep(EVERY)
            for task, (who, until) in list(self._open.items()):
                if self._invalid_reason(who) is not None:
                    until.reschedule(0.0)
                    del self._open[task]

    async def _end(self, app: web.Application) -> None:
        for task in self._open:
            task.cancel()
        if self._watching is not None:
            self._watching.cancel()


class _Over(Exception):
    """The stream's caller would not be let in any more."""


async def next_of(queue: asyncio.Queue[T], seconds: float) -> T | None:
    """Return what comes next in a queue; None where nothing comes for so long.

    Not by `asyncio.wait_for`: before Python 3.12 that may swallow the cancellation by which a stream is ended.
    """
    wait = asyncio.timeout(seconds)
    try:
        async with wait:
            return await queue.get()
    except TimeoutError:
        if not wait.expired():
            raise
        return None
