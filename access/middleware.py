"""Authenticate each HTTP request before its route: 401 without a key, 403 beyond its scope, 429 above its rate limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..schemas.payloads.keys import Scope
from ..schemas.trial_id import model_and_trial
from .caller import Caller, caller
from .gatekeeper import Gatekeeper

# The scope that a route requires; public: no key.
Access: TypeAlias = Scope | Literal["public"]


def access_middleware(gatekeeper: Gatekeeper, scope_of: Callable[[web.Request], Access]) -> Middleware:
    """Return the middleware that authenticates each HTTP request; `scope_of` returns the scope that its route requires."""

    async def admit(request: web.Request, scope: Scope) -> Caller:
        headers = request.headers
        found = await gatekeeper.identify(headers.get("Authorization", ""), headers.get("X-API-Key", ""))
        # The scope `deploy` also allows GET on routes that require `predict`.
        if scope != "predict" or "deploy" not in found.scopes or request.method not in ("GET", "HEAD"):
            found.check_scope(scope)
        for name in ("model", "name", "id"):
            if (model := request.match_info.get(name)) is not None:
                found.check_model(model_and_trial(model)[0] if name == "id" else model)
        return found

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        source = request.remote or ""
        headers: dict[str, str] = {}
        if gatekeeper.open or (scope := scope_of(request)) == "public":
            found = Caller(source=source)
        else:
            found = replace(await admit(request, scope), source=source)
            headers = await gatekeeper.count(found)
        token = caller.set(found)
        try:
            response = await handler(request)
        finally:
            caller.reset(token)
        if not response.prepared:
            for name, value in headers.items():
                response.headers.setdefault(name, value)  # a route that counted rows has set its own
        return response

    return check
