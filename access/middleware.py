"""Each HTTP request's caller, before any route sees it: 401 without a key, 403 beyond its scope, 429 above its rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..schemas.errors import Unauthorized
from ..schemas.keys import ApiKey, Scope
from ..schemas.settings import Settings
from .api_keys import check_key, is_api_key
from .caller import Caller, caller
from .json_web_tokens import JsonWebTokens
from .rate_limiter import RateLimiter

# What says whether the service is well, and what it can do, is no secret.
PUBLIC = frozenset(
    (
        "/",
        "/docs",
        "/openapi.json",
        "/asyncapi.json",
        "/ui",
        "/ui/files/{file}",
        "/health",
        "/health/live",
        "/health/ready",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
    )
)
ADMIN = ("/keys", "/inference-log", "/dead-letters", "/metrics")


def scope_of(method: str, route: str) -> Scope:
    """Return the scope that a route needs: predictions, and looking at models, `predict`; who sees bodies or keys, `admin`."""
    if route.startswith(ADMIN):
        return "admin"
    if route.startswith("/v2"):
        return "deploy" if route.endswith(("/load", "/unload")) else "predict"
    if route.startswith(("/predict", "/labels")) or (method == "GET" and route.startswith("/models")):
        return "predict"
    return "deploy"


def access_middleware(settings: Settings, find_key: Callable[[str], ApiKey | None]) -> Middleware:
    """Return the middleware; with `auth` off it lets everybody through and only notes where they come from."""
    tokens = JsonWebTokens(settings) if settings.jwt_jwks_url else None
    limiter = RateLimiter(settings.redis, settings.prefix)

    async def identify(request: web.Request, route: str) -> Caller:
        given = request.headers.get("Authorization", "")
        kind, _, token = given.partition(" ")
        token = token.strip() if kind.lower() == "bearer" else request.headers.get("X-API-Key", "")
        if not token:
            raise Unauthorized("this needs an API key: send `Authorization: Bearer mm_...`")
        if tokens is not None and not is_api_key(token):
            found = await tokens.check(token)
        else:
            key = check_key(token, find_key, time.time())
            found = Caller(
                name=key.name,
                scopes=frozenset(key.scopes),
                models=frozenset(key.models),
                key=key.id,
                limit=key.requests_per_minute,
                known=True,
            )
        scope = scope_of(request.method, route)
        # Whoever may release models may look at them too.
        found.check_scope(
            "deploy" if scope == "predict" and "deploy" in found.scopes and request.method == "GET" else scope
        )
        for name in ("model", "name", "id"):
            if (model := request.match_info.get(name)) is not None:
                found.check_model(model.partition(".")[0] if name == "id" else model)
        return found

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        source = request.remote or ""
        resource = request.match_info.route.resource
        route = resource.canonical.removeprefix("/v1") if resource is not None else ""
        headers: dict[str, str] = {}
        if settings.auth == "off" or route in PUBLIC:
            found = Caller(source=source)
        else:
            found = replace(await identify(request, route), source=source)
            if found.limit is not None:
                headers = (await limiter.take(found.key, found.limit)).headers()
        token = caller.set(found)
        try:
            response = await handler(request)
        finally:
            caller.reset(token)
        if not response.prepared:
            response.headers.update(headers)
        return response

    return check
