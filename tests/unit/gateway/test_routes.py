"""The routes' declarations and what is derived from them: the application, its OpenAPI document, and the client's retries."""

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from modelmesh.gateway.openapi import docs_page, openapi_document
from modelmesh.gateway.route import ROUTE_TABLE, Route, RouteTable
from modelmesh.schemas.errors import Unavailable
from modelmesh.sdk.gateway_session import is_retryable
from sqlalchemy.exc import OperationalError

from ..application import real_application

PAGES = {"/", "/docs", "/ui", "/ui/files/{file}"}


@pytest.fixture
async def app(tmp_path):
    return real_application(tmp_path)


async def answer(self, request):
    return web.Response(text=self.text)


def test_a_route_without_a_scope_cannot_be_made():
    with pytest.raises(TypeError, match="scope"):
        Route("GET", "/here", answer, "Here")
    with pytest.raises(ValueError, match="GET /here"):
        Route("GET", "/here", answer, "Here", scope="")


@pytest.mark.parametrize(("method", "repeat"), [("POST", None), ("DELETE", None), ("POST", "often"), ("GET", "never")])
def test_a_change_says_whether_it_may_be_asked_again(method, repeat):
    with pytest.raises(ValueError, match=f"{method} /here"):
        Route(method, "/here", answer, "Here", scope="deploy", repeat=repeat)


async def test_an_application_with_a_route_that_nobody_declared_does_not_start(app):
    app.router.add_get("/secret", answer)
    app.freeze()
    with pytest.raises(RuntimeError, match="/secret"):
        await app.startup()


def test_every_route_is_there_by_both_paths_and_declared_once(app):
    table = app[ROUTE_TABLE]
    paths = {(route.method, route.resource.canonical): table.find(route) for route in app.router.routes()}
    assert len(app.router.routes()) == len(paths)
    assert set(paths.values()) == set(table.routes)
    for (method, path), route in paths.items():
        assert (method, path.removeprefix("/v1")) in ((route.method, route.path), ("HEAD", route.path)), path
        assert ("GET" if method == "HEAD" else method) == route.method
    both = {path for _, path in paths if path.startswith("/v1/")}
    assert both == {f"/v1{path}" for _, path in paths if path != "/" and not re.match("/v[12]", path)}


def test_the_document_has_every_route_but_the_pages(app):
    routes = app[ROUTE_TABLE].routes
    document = openapi_document(routes)
    shown = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item.keys() & {"get", "post", "delete"}
    }
    assert shown == {(route.method, route.path) for route in routes if route.path not in PAGES}
    page = docs_page(document)
    assert all(path in page for path in document["paths"])


def test_the_document_says_what_each_route_needs(app):
    paths = openapi_document(app[ROUTE_TABLE].routes)["paths"]
    assert "security" not in paths["/health"]["get"]
    assert paths["/keys"]["get"]["security"] == [{"key": []}, {}]
    assert {"401", "403", "429", "503"} <= paths["/models"]["get"]["responses"].keys()
    assert "503" not in paths["/keys"]["get"]["responses"]

    def takes_key(path):
        return "Idempotency-Key" in {parameter["name"] for parameter in paths[path]["post"]["parameters"]}

    assert [takes_key(path) for path in ("/deployments", "/keys", "/predict/{model}")] == [True, False, False]
    infer = paths["/v2/models/{model}/infer"]
    assert infer["servers"] == [{"url": "/"}], "it is not under /v1"
    assert infer["post"]["responses"]["404"]["content"].keys() == {"application/json"}
    assert "servers" not in paths["/models"]


def test_the_client_retries_exactly_what_changes_nothing(app):
    """Without the routes of the Open Inference Protocol, which the client does not use."""
    spoken = [route for route in app[ROUTE_TABLE].routes if not route.inference_protocol]
    assert len(spoken) > 40
    for route in spoken:
        assert is_retryable(route.method, route.path) == (route.repeat == "safe"), route


class Text:
    text = "here"

    async def away(self, request):
        raise OperationalError("select", {}, Exception("no"))

    routes = (
        Route("GET", "/here", answer, "Here", scope="public", quiet=True),
        Route("POST", "/here", answer, "Here", scope="deploy", repeat="with_key"),
        Route("GET", "/away", away, "Away", scope="admin", database=True),
    )


async def test_a_request_meets_its_routes_declaration():
    table, seen = RouteTable(), []

    @web.middleware
    async def look(request, handler):
        seen.append((table.scope(request), table.is_quiet(request), table.takes_key(request)))
        try:
            return await handler(request)
        except Unavailable:
            return web.Response(status=503)

    app = web.Application(middlewares=[look])
    table.add_to(app, [Text()])
    async with TestClient(TestServer(app)) as client:
        for method, path, status, expected in (
            ("GET", "/here", 200, ("public", True, False)),
            ("HEAD", "/here", 200, ("public", True, False)),
            ("GET", "/v1/here", 200, ("public", True, False)),
            ("POST", "/v1/here", 200, ("deploy", False, True)),
            ("GET", "/away", 503, ("admin", False, False)),
            ("DELETE", "/here", 405, ("deploy", False, False)),
            ("GET", "/nothing", 404, ("deploy", False, False)),
        ):
            response = await client.request(method, path)
            assert (response.status, seen.pop()) == (status, expected), path
