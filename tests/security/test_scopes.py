"""Every route of the real application, asked without a key and with a key of each scope: who is let in is written down here."""

import re

import pytest

from .gateway_alone import gateway_alone

PUBLIC = {
    "/", "/docs", "/openapi.json", "/asyncapi.json", "/ui", "/ui/files/{file}", "/health", "/health/live", "/health/ready",
    "/v2", "/v2/health/live", "/v2/health/ready",
}  # fmt: skip
# Who sees bodies, keys, or all models' figures.
ADMIN = ("/keys", "/inference-log", "/dead-letters", "/metrics")
ASKS_KAFKA = ("/dead-letters", "/inference-log/{request_id}/records")


def expected(method, path):
    """Which scopes open a route; None: no key is asked for."""
    if path in PUBLIC:
        return None
    if path.startswith(ADMIN):
        return {"admin"}
    if path.endswith(("/load", "/unload", "/artifact")):
        return {"deploy", "admin"}
    if method in ("GET", "HEAD") and path.startswith(("/models", "/v2/")):
        return {"predict", "deploy", "admin"}  # whoever may release models may look at them too
    if path.startswith(("/predict/", "/labels/", "/v2/")):
        return {"predict", "admin"}
    return {"deploy", "admin"}


@pytest.fixture(scope="module")
async def alone(tmp_path_factory):
    async with gateway_alone(tmp_path_factory.mktemp("scopes"), auth="keys", kafka="127.0.0.1:1") as running:
        yield running


async def test_every_route_opens_to_its_scopes_alone(alone):
    keys = {scope: b"X-API-Key: " + alone.key(scope).encode() for scope in ("predict", "deploy", "admin")}
    routes = [(route.method, route.resource.canonical) for route in alone.app.router.routes()]
    assert len(routes) > 150
    for method, real in [*routes, ("GET", "/nothing"), ("PUT", "/models")]:
        path = re.sub(r"^/v1(?=/)", "", real)
        target, opens = re.sub(r"\{\w+\}", "m", real), expected(method, path)
        assert ((await alone.ask(method, target))[0] == 401) == (opens is not None), (method, real)
        for scope, key in keys.items():
            if opens is not None and scope not in opens:
                assert (await alone.ask(method, target, key))[0] == 403, (method, real, scope)
            elif not path.startswith(ASKS_KAFKA):
                assert (await alone.ask(method, target, key))[0] not in (0, 401, 403), (method, real, scope)


async def test_the_first_page_leads_to_the_documents(alone):
    status, answer = await alone.ask("GET", "/")
    assert status == 302
    assert b"\r\nLocation: /docs\r\n" in answer
