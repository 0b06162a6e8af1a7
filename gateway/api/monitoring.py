"""The HTTP API for monitoring: drift, latency, errors, accuracy, shadow differences, and live events."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ...access.caller import caller
from ...broker.views.releases import ReleasesView
from ...broker.views.statistics import StatisticsView
from ...schemas.documents.monitoring import Errors, Latencies, Monitored
from ...schemas.errors import NotFound
from ...telemetry.http import json_response
from ..command_client import CommandClient
from ..event_streams import EventStreams, Write, next_of
from ..route import Route

KEEP_ALIVE_SECONDS = 15.0


class MonitoringRoutes:
    """Reads only from the log: needs neither the database nor the control plane."""

    def __init__(
        self, statistics: StatisticsView, releases: ReleasesView, events: CommandClient, streams: EventStreams
    ) -> None:
        self._statistics = statistics
        self._releases = releases
        self._events = events
        self._streams = streams

    async def drift(self, request: web.Request) -> web.Response:
        """Return each version's drift from its reference, by feature."""
        return json_response({"model": request.match_info["name"], **self._document(request, "drift")})

    async def latency(self, request: web.Request) -> web.Response:
        """Return p50, p95 and p99 over 1 min, 5 min and 1 h, by model and version."""
        documents = self._statistics.models("latency")
        models = caller.get().models_to_list(request.query.get("model"))
        return json_response({"models": {m: d for m, d in documents.items() if models is None or m in models}})

    async def shadow(self, request: web.Request) -> web.Response:
        """Return how a shadow's answers differ from production's."""
        return json_response({"model": request.match_info["name"], **self._document(request, "shadow")})

    async def errors(self, request: web.Request) -> web.Response:
        """Return requests, failures and the failure rate of the current trial, by model and version."""
        models = caller.get().models_to_list(request.query.get("model"))
        found = {
            name: self._statistics.of_trial(release, "release")
            for name, release in sorted(self._releases.releases.items())
            if models is None or name in models
        }
        return json_response({"models": {name: _errors(document) for name, document in found.items()}})

    async def accuracy(self, request: web.Request) -> web.Response:
        """Return each version's accuracy on labelled requests."""
        return json_response({"model": request.match_info["name"], **self._document(request, "accuracy")})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream events as server-sent events."""
        models = caller.get().models_to_list(request.query.get("model"))

        async def feed(write: Write) -> None:
            with self._events.listening() as queue:
                await write(b": listening\n\n")
                while True:
                    event = await next_of(queue, KEEP_ALIVE_SECONDS)
                    if event is None:
                        await write(b": still here\n\n")
                    elif models is None or event.model in models:
                        await write(f"event: {event.kind}\ndata: {event.model_dump_json()}\n\n".encode())

        return await self._streams.serve(request, feed)

    routes = (
        Route("GET", "/monitoring/drift/{name}", drift, "Show how live inputs differ from the reference", scope="deploy",
              gives=Monitored, errors=(404,)),
        Route("GET", "/monitoring/latency", latency, "Show p50, p95 and p99 over 1 min, 5 min and 1 h", scope="deploy",
              gives=Latencies, query=("model",)),
        Route("GET", "/monitoring/shadow/{name}", shadow, "Show how a shadow's answers differ", scope="deploy",
              gives=Monitored, errors=(404,)),
        Route("GET", "/monitoring/errors", errors, "Show how many requests of the current trial failed, by version",
              scope="deploy", gives=Errors, query=("model",)),
        Route("GET", "/monitoring/accuracy/{name}", accuracy, "Show each version's accuracy on labelled requests",
              scope="deploy", gives=Monitored, errors=(404,)),
        Route("GET", "/events", events, "Stream events (server-sent events)", scope="deploy", query=("model",)),
    )  # fmt: skip

    def _document(self, request: web.Request, what: str) -> dict[str, Any]:
        name = request.match_info["name"]
        document = self._statistics.get(name, what)
        if document is not None:
            return document
        self._releases.get(name, field="name")
        source = "labels: POST /labels/{model}" if what == "accuracy" else "requests"
        raise NotFound(f"there is no {what} of {name} yet: it needs {source}", field="name")


def _errors(document: dict[str, Any] | None) -> dict[str, Any]:
    names = ("requests", "failed", "failure_rate", "failure_rate_interval", "errors")
    return {
        version: {name: figures.get(name) for name in names}
        for version, figures in (document["versions"] if document is not None else {}).items()
    }
