"""Server-sent event streams. A stream ends when its key expires or is revoked, and when the gateway stops."""

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
# Seconds between checks of the keys of open streams; a key is also checked before each write.
CHECK_INTERVAL = 0.5
RETRY_AFTER = 5.0
# Seconds for writing the last event of a stream.
END_EVENT_TIMEOUT = 1.0


class EventStreams:
    """The open streams of all routes, limited for each key or token.

    `invalid_reason` returns why a caller's credentials are no longer valid, or None.
    """

    def __init__(self, max_per_key: int, invalid_reason: Callable[[Caller], str | None]) -> None:
        self._max_per_key = max_per_key
        self._invalid_reason = invalid_reason
        self._open: dict[asyncio.Task[Any], tuple[Caller, asyncio.Timeout]] = {}
        self._count: Counter[str] = Counter()
        self._watching: asyncio.Task[None] | None = None

    def end_with(self, app: web.Application) -> None:
        """End all streams when the application shuts down."""
        app.on_shutdown.append(self._end)

    async def serve(self, request: web.Request, feed: Callable[[Write], Awaitable[None]]) -> web.StreamResponse:
        """Stream what `feed` writes until the key becomes invalid, the caller disconnects, or the gateway stops.

        Raises RateLimited if the key has the maximum number of open streams.
        """
        who = caller.get()
        if who.known and self._count[who.key] >= self._max_per_key:
            raise RateLimited(
                f"{who.name!r} has {self._max_per_key} open streams, the limit of a key: close one, or use one stream for all "
                "models",
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
                raise _KeyInvalid
            await response.write(data)

        await response.prepare(request)
        deadline = asyncio.timeout(None if who.expires_at is None else max(0.0, who.expires_at - time.time()))
        try:
            async with deadline:
                self._open[task] = who, deadline
                self._watch()
                await feed(write)
        except _KeyInvalid:
            pass
        except TimeoutError:
            if not deadline.expired():
                raise
        finally:
            self._open.pop(task, None)
        document = {"detail": self._invalid_reason(who) or "this stream has ended"}
        with contextlib.suppress(TimeoutError):  # do not wait for a caller that does not read
            async with asyncio.timeout(END_EVENT_TIMEOUT):
                await response.write(b"event: end\ndata: " + orjson.dumps(document) + b"\n\n")
        return response

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._end_invalid())

    async def _end_invalid(self) -> None:
        while self._open:
            await asyncio.sleep(CHECK_INTERVAL)
            for task, (who, deadline) in list(self._open.items()):
                if self._invalid_reason(who) is not None:
                    deadline.reschedule(0.0)
                    del self._open[task]

    async def _end(self, app: web.Application) -> None:
        for task in self._open:
            task.cancel()
        if self._watching is not None:
            self._watching.cancel()


class _KeyInvalid(Exception):
    """The key of the stream's caller is no longer valid."""


async def next_of(queue: asyncio.Queue[T], seconds: float) -> T | None:
    """Return the next item of a queue, or None after a timeout.

    Not with `asyncio.wait_for`: before Python 3.12 it may swallow the cancellation that ends a stream.
    """
    wait = asyncio.timeout(seconds)
    try:
        async with wait:
            return await queue.get()
    except TimeoutError:
        if not wait.expired():
            raise
        return None
