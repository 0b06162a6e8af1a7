"""Each HTTP request's caller, before any route sees it: 401 without a key, 403 beyond its scope, 429 above its rate."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..schemas.payloads.keys import Scope
from ..schemas.trial_id import model_and_trial
from .caller import Caller, caller
from .gatekeeper import Gatekeeper

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


def access_middleware(gatekeeper: Gatekeeper) -> Middleware:
    """Return the middleware that has each HTTP request pass the gatekeeper."""

    async def admit(request: web.Request, route: str) -> Caller:
        headers = request.headers
        found = await gatekeeper.identify(headers.get("Authorization", ""), headers.get("X-API-Key", ""))
        scope = scope_of(request.method, route)
        # Whoever may release models may look at them too.
        found.check_scope(
            "deploy" if scope == "predict" and "deploy" in found.scopes and request.method == "GET" else scope
        )
        for name in ("model", "name", "id"):
            if (model := request.match_info.get(name)) is not None:
                found.check_model(model_and_trial(model)[0] if name == "id" else model)
        return found

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        source = request.remote or ""
        resource = request.match_info.route.resource
        route = resource.canonical.removeprefix("/v1") if resource is not None else ""
        headers: dict[str, str] = {}
        if gatekeeper.open or route in PUBLIC:
            found = Caller(source=source)
        else:
            found = replace(await admit(request, route), source=source)
            headers = await gatekeeper.count(found)
        token = caller.set(found)
        try:
            response = await handler(request)
        finally:
            caller.reset(token)
        if not response.prepared:
            for name, value in headers.items():
                response.headers.setdefault(name, value)  # a route that counted rows knows better
        return response

    return check
