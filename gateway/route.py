"""Route declarations of the HTTP API, each beside its handler.

The application, its OpenAPI document, scopes, Idempotency-Key, the routes excluded from the access log, and which requests a
client may retry are all derived from the declarations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from types import MethodType
from typing import Any, Literal, Protocol, TypeAlias, get_args

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from ..access.middleware import Access
from .api.route_tools import require_database

# Whether a request may be repeated: safe: yes, it changes nothing; with_key: with the same Idempotency-Key; never: no.
Repeat: TypeAlias = Literal["safe", "with_key", "never"]


@dataclass(frozen=True)
class Route:
    """One operation: its path, request and response types, and required scope.

    `handler` is a method of the resource's class. `scope` has no default, so that no route is public by mistake; "public" needs
    no key. `errors` are the statuses of its problem responses, besides those of authentication and of the database.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Callable[[Any, web.Request], Awaitable[web.StreamResponse]]
    summary: str
    _: KW_ONLY
    scope: Access
    repeat: Repeat | None = None  # None: safe, for GET only
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    status: int = 200
    errors: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    database: bool = False  # 503 while the database is unavailable
    quiet: bool = False  # polled by machines: not in the access log, no trace
    page: bool = False  # an HTML page or a part of one: not in the OpenAPI document

    def __post_init__(self) -> None:
        if self.scope not in (*get_args(get_args(Access)[0]), "public"):
            raise ValueError(f"{self.method} {self.path}: {self.scope!r} is not a scope")
        if self.method == "GET" and self.repeat is None:
            object.__setattr__(self, "repeat", "safe")
        if self.repeat not in get_args(Repeat) or (self.method == "GET" and self.repeat != "safe"):
            raise ValueError(f"{self.method} {self.path}: say whether it may be repeated")

    @property
    def inference_protocol(self) -> bool:
        """Whether it belongs to the Open Inference Protocol, which has its own paths and errors."""
        return self.path.startswith("/v2")

    @property
    def versioned(self) -> bool:
        """Whether it is also available under /v1."""
        return self.path != "/" and not self.inference_protocol


class Resource(Protocol):
    """An object whose class declares routes to its methods."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The declarations."""


class RouteTable:
    """The routes of one application; finds the declaration of a request's route."""

    def __init__(self) -> None:
        self._routes: dict[web.AbstractRoute, Route] = {}

    def add_to(self, app: web.Application, resources: Iterable[Resource]) -> None:
        """Register every route by its short path, with HEAD for each GET, and then under /v1."""
        app[ROUTE_TABLE] = self
        add, routes = app.router.add_route, self._routes
        bound = [(route, _bound(route, resource)) for resource in resources for route in resource.routes]
        for route, handler in bound:
            if route.method == "GET":
                routes[add("HEAD", route.path, handler)] = route
            routes[add(route.method, route.path, handler)] = route
        for route, handler in bound:
            if route.versioned:
                routes[add(route.method, f"/v1{route.path}", handler)] = route
        app.on_startup.append(self._check_all_declared)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route once, in the order of registration."""
        return tuple(dict.fromkeys(self._routes.values()))

    def find(self, route: web.AbstractRoute) -> Route | None:
        """Return the declaration of an aiohttp route; None for aiohttp's own (404, 405)."""
        return self._routes.get(route)

    def scope(self, request: web.Request) -> Access:
        """Return the scope of a request's route. An unknown path needs a key too, so that 404 does not reveal the paths."""
        route = self._routes.get(request.match_info.route)
        return route.scope if route is not None else "deploy"

    def is_quiet(self, request: web.Request) -> bool:
        """Whether a request is excluded from the access log."""
        route = self._routes.get(request.match_info.route)
        return route is not None and route.quiet

    def takes_key(self, request: web.Request) -> bool:
        """Whether a request's route accepts Idempotency-Key."""
        route = self._routes.get(request.match_info.route)
        return route is not None and route.repeat == "with_key"

    async def _check_all_declared(self, app: web.Application) -> None:
        """Raise for a route that was registered without a declaration."""
        for route in app.router.routes():
            if route not in self._routes:
                raise RuntimeError(f"{route.method} {route.resource}: this route has no declaration")


ROUTE_TABLE: web.AppKey[RouteTable] = web.AppKey("route_table", RouteTable)


def _bound(route: Route, resource: Resource) -> Handler:
    handler: Handler = MethodType(route.handler, resource)
    if not route.database:
        return handler

    async def with_database(request: web.Request) -> web.StreamResponse:
        with require_database():
            return await handler(request)

    return with_database
