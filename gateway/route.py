"""What is true of a route of the HTTP API, declared once beside its handler.

The application, its OpenAPI document, the scopes, Idempotency-Key, the routes that the access log leaves out, and what a
client may ask again all follow from the declaration.
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
from .api.route_tools import database_there

# safe: changes nothing, and may be asked again. with_key: again under the same Idempotency-Key. never: neither.
Repeat: TypeAlias = Literal["safe", "with_key", "never"]


@dataclass(frozen=True)
class Route:
    """One operation: where it is, what it takes and gives, and who may ask for it.

    `handler` is a method of the resource's class. `scope` has no default: a route without one can't be made, and one that asks
    for no key says "public". `errors` are the statuses of the problems that it may answer with, besides those of keys and of the
    database.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Callable[[Any, web.Request], Awaitable[web.StreamResponse]]
    summary: str
    _: KW_ONLY
    scope: Access
    repeat: Repeat | None = None  # None: safe for a GET; any other method says it
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    status: int = 200
    errors: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    database: bool = False  # 503 while the database is away
    quiet: bool = False  # asked several times a minute by machines: without a line in the access log, without a trace
    page: bool = False  # for people, or a part of such a page: not in the OpenAPI document

    def __post_init__(self) -> None:
        if self.scope not in (*get_args(get_args(Access)[0]), "public"):
            raise ValueError(f"{self.method} {self.path}: {self.scope!r} is no scope")
        if self.method == "GET" and self.repeat is None:
            object.__setattr__(self, "repeat", "safe")
        if self.repeat not in get_args(Repeat) or (self.method == "GET" and self.repeat != "safe"):
            raise ValueError(f"{self.method} {self.path}: say whether it may be asked again")

    @property
    def inference_protocol(self) -> bool:
        """Whether it is the Open Inference Protocol's, which has paths and errors of its own."""
        return self.path.startswith("/v2")

    @property
    def versioned(self) -> bool:
        """Whether it is there under /v1 too, of which the short path is an alias."""
        return self.path != "/" and not self.inference_protocol


class Resource(Protocol):
    """An object whose methods answer the routes that its class declares."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The declarations."""


class RouteTable:
    """The routes of one application, and which of them a request has met."""

    def __init__(self) -> None:
        self._routes: dict[web.AbstractRoute, Route] = {}

    def add_to(self, app: web.Application, resources: Iterable[Resource]) -> None:
        """Register every route by its short path, where a GET answers HEAD too, and then under /v1."""
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
        app.on_startup.append(self._check_whole)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route once, in the order in which they were registered."""
        return tuple(dict.fromkeys(self._routes.values()))

    def find(self, route: web.AbstractRoute) -> Route | None:
        """Return the declaration of one of the application's routes; None for what is not there (404, 405)."""
        return self._routes.get(route)

    def scope(self, request: web.Request) -> Access:
        """Return what a request's route asks for; a stranger is not told what is not there."""
        route = self._routes.get(request.match_info.route)
        return route.scope if route is not None else "deploy"

    def is_quiet(self, request: web.Request) -> bool:
        """Whether the access log leaves a request out."""
        route = self._routes.get(request.match_info.route)
        return route is not None and route.quiet

    def takes_key(self, request: web.Request) -> bool:
        """Whether a request's route knows Idempotency-Key."""
        route = self._routes.get(request.match_info.route)
        return route is not None and route.repeat == "with_key"

    async def _check_whole(self, app: web.Application) -> None:
        """Raise for a route that was registered without a declaration."""
        for route in app.router.routes():
            if route not in self._routes:
                raise RuntimeError(f"{route.method} {route.resource}: nobody declared this route")


ROUTE_TABLE: web.AppKey[RouteTable] = web.AppKey("route_table", RouteTable)


def _bound(route: Route, resource: Resource) -> Handler:
    handler: Handler = MethodType(route.handler, resource)
    if not route.database:
        return handler

    async def with_database(request: web.Request) -> web.StreamResponse:
        with database_there():
            return await handler(request)

    return with_database
