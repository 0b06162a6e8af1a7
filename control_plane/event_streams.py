"""Answers that never end (server-sent events): each is ended when the gateway stops."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..telemetry.http import FOR_CLIENT_KEY


class EventStreams:
    """The streams that are open. `open` begins one for the request that this task serves."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def end_with(self, app: web.Application) -> None:
        """End all streams when the application shuts down."""
        app.on_shutdown.append(self._end)

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Return an answer to write events to."""
        request[FOR_CLIENT_KEY] = True
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return response

    async def _end(self, app: web.Application) -> None:
        for task in self._tasks:
            task.cancel()
