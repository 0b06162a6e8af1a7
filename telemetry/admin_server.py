"""Each role's own small server: /health and /metrics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ..schemas.errors import ModelMeshError
from .http import problem_response


@contextlib.asynccontextmanager
async def admin_server(
    host: str,
    port: int,
    registry: CollectorRegistry,
    health: Callable[[], dict[str, Any]],
    check_door: Callable[[web.Request], None] = lambda request: None,
) -> AsyncIterator[int]:
    """Serve for as long as the block lasts; yields the port. `health` returns a document with "ready": bool.

    `check_door` raises for what must not be answered.
    """

    @web.middleware
    async def behind_the_door(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_door(request)
        except ModelMeshError as error:
            return problem_response(error)
        return await handler(request)

    async def get_health(_: web.Request) -> web.Response:
        document = health()
        return web.json_response(document, status=200 if document["ready"] else 503)

    async def get_metrics(_: web.Request) -> web.Response:
        return metrics_response(registry)

    app = web.Application(middlewares=[behind_the_door])
    app.router.add_get("/health", get_health)
    app.router.add_get("/metrics", get_metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def metrics_response(registry: CollectorRegistry) -> web.Response:
    """Return the registry in Prometheus' text form."""
    return metrics_page(generate_latest(registry))


def metrics_page(page: bytes) -> web.Response:
    """Return a page of metrics that is written already."""
    return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})
