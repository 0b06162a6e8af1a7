"""The dashboard: a page that loads nothing from the internet, and its state, once or as a stream."""

from __future__ import annotations

import time
from importlib.resources import files
from typing import Any

import orjson
from aiohttp import web
from cachetools import TTLCache

from ...access.caller import Caller, caller
from ...broker.views.releases import ReleasesView
from ...broker.views.replicas import ReplicaView
from ...broker.views.statistics import StatisticsView
from ...schemas.documents.monitoring import State
from ...telemetry.http import json_response
from ..command_client import CommandClient
from ..event_streams import EventStreams, Write, next_of
from ..route import Route
from .state import dashboard_state

# Seconds between two states of a stream.
STATE_INTERVAL = 1.0
# Cached states: one for each set of models that keys are restricted to.
CACHED_STATES = 64
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
# The page loads everything from this server.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)


class DashboardRoutes:
    """All viewers of the same models share one cached state."""

    def __init__(
        self,
        releases: ReleasesView,
        statistics: StatisticsView,
        replicas: ReplicaView,
        events: CommandClient,
        streams: EventStreams,
    ) -> None:
        self._releases = releases
        self._statistics = statistics
        self._replicas = replicas
        self._events = events
        self._streams = streams
        self._cache: TTLCache[frozenset[str], bytes] = TTLCache(CACHED_STATES, STATE_INTERVAL / 2)
        self._files = {
            path.name: path.read_bytes() for path in files(__package__).joinpath("files").iterdir() if path.is_file()
        }

    async def page(self, request: web.Request) -> web.Response:
        """Return the page."""
        return self._file_response("index.html")

    async def file(self, request: web.Request) -> web.Response:
        """Return the page's style or script."""
        name = request.match_info["file"]
        if name not in self._files:
            raise web.HTTPNotFound
        return self._file_response(name)

    async def state(self, request: web.Request) -> web.Response:
        """Return the current state."""
        return json_response(self._state(caller.get()))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Stream the state every second, and events (server-sent events)."""
        who = caller.get()

        async def feed(write: Write) -> None:
            with self._events.listening() as queue:
                while True:
                    await write(b"event: state\ndata: " + self._state_json(who) + b"\n\n")
                    due = time.monotonic() + STATE_INTERVAL
                    while (left := due - time.monotonic()) > 0 and (event := await next_of(queue, left)) is not None:
                        if who.sees(event.model):
                            await write(b"event: event\ndata: " + event.model_dump_json().encode() + b"\n\n")

        return await self._streams.serve(request, feed)

    routes = (
        Route("GET", "/ui", page, "Show the dashboard", scope="public", page=True),
        Route("GET", "/ui/files/{file}", file, "The dashboard's style or script", scope="public", page=True),
        Route("GET", "/ui/state", state, "Show the dashboard's state: models with monitoring results, and replicas",
              scope="deploy", gives=State),
        Route("GET", "/ui/stream", stream, "Stream the dashboard's state every second, and events (server-sent events)",
              scope="deploy"),
    )  # fmt: skip

    def _state(self, who: Caller) -> dict[str, Any]:
        return dashboard_state(self._releases.releases, self._statistics, self._replicas.live(), time.time(), who.sees)

    def _state_json(self, who: Caller) -> bytes:
        text = self._cache.get(who.models)
        if text is None:
            text = self._cache[who.models] = orjson.dumps(self._state(who))
        return text

    def _file_response(self, name: str) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        kind = _KINDS[name.rpartition(".")[2]]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers=headers)
