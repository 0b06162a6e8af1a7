"""Health, metrics and API documents of a gateway."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from .. import __version__
from ..access.caller import caller
from ..schemas.asyncapi import asyncapi_document
from ..schemas.documents.monitoring import Health
from ..schemas.settings.gateway import GatewaySettings
from ..telemetry.admin_server import metrics_page, metrics_response
from ..telemetry.http import json_response
from ..telemetry.merged_metrics import merged
from .mesh_metrics import metrics_of_others
from .openapi import docs_page, openapi_document
from .route import ROUTE_TABLE, Route

_DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)


class ServiceRoutes:
    """Health, metrics and documents. All but the metrics are public."""

    def __init__(
        self, settings: GatewaySettings, registry: CollectorRegistry, health: Callable[[], dict[str, Any]]
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._health = health

    async def health(self, request: web.Request) -> web.Response:
        """Return the health checks; 503 until predictions can be served."""
        document = self._health()
        return json_response(document, 200 if document["ready"] else 503)

    async def live(self, request: web.Request) -> web.Response:
        """Report that the process is alive."""
        return json_response({"live": True})

    async def metrics(self, request: web.Request) -> web.Response:
        """Return the metrics; in a local mesh, those of all roles. A key restricted to models gets only their metrics."""
        models, state = caller.get().models, self._settings.mesh_state
        if state is None and not models:
            return metrics_response(self._registry)
        others = await metrics_of_others(state, self._settings.name) if state is not None else {}
        return metrics_page(merged(self._registry, others, models))

    async def openapi(self, request: web.Request) -> web.Response:
        """Return the OpenAPI document."""
        return web.Response(body=_openapi(request.app[ROUTE_TABLE].routes), content_type="application/json")

    async def docs(self, request: web.Request) -> web.Response:
        """Return the page that shows the OpenAPI document."""
        page = _docs(request.app[ROUTE_TABLE].routes)
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": _DOCS_POLICY})

    async def asyncapi(self, request: web.Request) -> web.Response:
        """Return the topics as an AsyncAPI document. With authentication on, it does not contain Kafka's address."""
        kafka = self._settings.kafka if self._settings.auth == "off" else None
        return json_response(asyncapi_document(self._settings.topics(), kafka, __version__))

    async def root(self, request: web.Request) -> web.Response:
        """Redirect to /docs."""
        return web.Response(status=302, headers={"Location": "/docs"})

    routes = (
        Route("GET", "/health", health, "Show the health checks; 503 until predictions can be served", scope="public", quiet=True,
              gives=Health, errors=(503,)),
        Route("GET", "/health/ready", health, "The same as /health", scope="public", quiet=True, gives=Health, errors=(503,)),
        Route("GET", "/health/live", live, "Show that the process is alive", scope="public", quiet=True),
        Route("GET", "/metrics", metrics, "Metrics in the Prometheus format", scope="admin", quiet=True),
        Route("GET", "/openapi.json", openapi, "The routes, as an OpenAPI 3.1 document", scope="public"),
        Route("GET", "/asyncapi.json", asyncapi, "The topics, as an AsyncAPI 3 document", scope="public"),
        Route("GET", "/docs", docs, "The OpenAPI document as an HTML page", scope="public", page=True),
        Route("GET", "/", root, "Redirect to /docs", scope="public", page=True),
    )  # fmt: skip


@cache
def _openapi(routes: tuple[Route, ...]) -> bytes:
    """Cached: building it takes 0.1 s, and the route needs no key."""
    return orjson.dumps(openapi_document(routes))


@cache
def _docs(routes: tuple[Route, ...]) -> str:
    return docs_page(openapi_document(routes))
