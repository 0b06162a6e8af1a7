"""CORS for the origins in `cors_origins`; off if there are none."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from .door import Door

METHODS = "GET, POST, PUT, PATCH, DELETE"
EXPOSED = (
    "X-Request-Id, X-Model-Version, X-Model-Variant, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
SECONDS = "600"


def cors_middlewares(door: Door) -> list[Middleware]:
    """Return the middleware, or none. It runs before authentication: preflight requests carry no key."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if not door.allowed_origin(origin):
            return await handler(request)
        if request.method == "OPTIONS" and (wanted := request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)):
            headers = {
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, ""),
                hdrs.ACCESS_CONTROL_MAX_AGE: SECONDS,
            }
            return web.Response(status=204 if wanted in METHODS.split(", ") else 405, headers=headers)
        return await handler(request)

    return [answer] if door.opened else []


def open_to_pages(app: web.Application, door: Door) -> None:
    """Set the CORS headers on every answer to such an origin, including errors and streams."""
    if not door.opened:
        return

    async def say(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get(hdrs.ORIGIN)
        response.headers[hdrs.VARY] = hdrs.ORIGIN
        if door.allowed_origin(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin or ""
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED

    app.on_response_prepare.append(say)
