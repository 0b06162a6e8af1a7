"""A TCP site that closes a connection whose request headers are not complete within ten seconds (slowloris).

aiohttp waits for headers as long as it keeps an idle connection, so connections with half a header, which cost the client
nothing, would exhaust the server's file descriptors.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.web_protocol import RequestHandler

from .http import FOR_CLIENT_KEY

HEADER_SECONDS = 10.0
# The keepalive of an idle connection. It also bounds a half request that arrived in the same read as a complete one: the
# parser does not show what it has buffered.
KEEPALIVE_SECONDS = 75.0


class TimelyHandler(RequestHandler):
    """One connection. A timer runs from a request's first byte (the first request: from connecting) to the end of its headers."""

    __slots__ = ("_header_timer", "_last_payload")

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._header_timer: asyncio.TimerHandle | None = None
        self._last_payload: StreamReader | None = None  # the body of the last request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer for the first request."""
        super().connection_made(transport)
        self._header_timer = self._loop.call_later(HEADER_SECONDS, self._too_late)

    def data_received(self, data: bytes) -> None:
        """Stop the timer when a request's headers are complete; start it at the first byte of a request.

        aiohttp also calls this with no data, to go on parsing what it has buffered.
        """
        before, in_body = self._request_count, self._expects_body()
        super().data_received(data)
        if self._request_count != before:
            self._end_wait()
            self._last_payload = self._messages[-1][1] if self._messages else None
        elif data and self._header_timer is None and not in_body:
            self._header_timer = self._loop.call_later(HEADER_SECONDS, self._too_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the timer, and cancel a handler that works for this client alone."""
        self._end_wait()
        task, request = self._task_handler, self._current_request
        super().connection_lost(exc)
        if task is not None and request is not None and request.get(FOR_CLIENT_KEY):
            task.cancel()

    def _end_wait(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _expects_body(self) -> bool:
        """Whether what comes next belongs to the last request's body, whatever became of the request."""
        return self._last_payload is not None and not self._last_payload.is_eof()

    def _too_late(self) -> None:
        self._header_timer = None
        if self._request_in_progress:  # the previous request is still being answered
            self._header_timer = self._loop.call_later(HEADER_SECONDS, self._too_late)
        else:
            self.force_close()


class TimelySite(web.TCPSite):
    """A TCP site with a `TimelyHandler` for each connection."""

    __slots__ = ()

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await web.BaseSite.start(self)
        server, loop = self._runner.server, asyncio.get_running_loop()
        assert isinstance(server, web.Server)

        def connected() -> TimelyHandler:
            return TimelyHandler(server, loop=loop, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS)

        options: dict[str, Any] = {"ssl_handshake_timeout": HEADER_SECONDS} if self._ssl_context is not None else {}
        self._server = await loop.create_server(
            connected, self._host, self._port, ssl=self._ssl_context, backlog=self._backlog, **options
        )
