"""CORS for the origins in `cors_origins`; off if there are none."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from .request_guard import RequestGuard

METHODS = "GET, POST, PUT, PATCH, DELETE"
EXPOSED_HEADERS = (
    "X-Request-Id, X-Model-Version, X-Model-Variant, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
MAX_AGE_SECONDS = "600"


def cors_middlewares(guard: RequestGuard) -> list[Middleware]:
    """Return the middleware, or an empty list. It runs before authentication: preflight requests carry no key."""

    @web.middleware
    async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if not guard.allowed_origin(origin):
            return await handler(request)
        if request.method == "OPTIONS" and (method := request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)):
            headers = {
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, ""),
                hdrs.ACCESS_CONTROL_MAX_AGE: MAX_AGE_SECONDS,
            }
            return web.Response(status=204 if method in METHODS.split(", ") else 405, headers=headers)
        return await handler(request)

    return [preflight] if guard.allows_origins else []


def add_cors_headers(app: web.Application, guard: RequestGuard) -> None:
    """Set the CORS headers on every response to an allowed origin, including errors and streams."""
    if not guard.allows_origins:
        return

    async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get(hdrs.ORIGIN)
        response.headers[hdrs.VARY] = hdrs.ORIGIN
        if guard.allowed_origin(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin or ""
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS

    app.on_response_prepare.append(set_headers)
