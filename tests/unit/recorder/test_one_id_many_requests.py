"""`/inference-log/{id}` if one request, several, or none have the id."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from modelmesh.gateway.api.inference_log import InferenceRoutes
from modelmesh.gateway.route import RouteTable
from modelmesh.recorder.inference_log import InferenceLog
from modelmesh.registry.storage.database import Base, InferenceRow, make_engine, now
from modelmesh.schemas.settings import Settings
from modelmesh.telemetry.http import http_middleware
from modelmesh.telemetry.tracing import Traces
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncSession

A, B, C, D = (letter * 32 for letter in "abcd")


@pytest.fixture
async def log(tmp_path):
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path}/log.db")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        for nonce, request_id, model in ((A, "one", "m"), (B, "many", "m"), (C, "many", "n"), (D, "many", "n")):
            session.add(InferenceRow(nonce=nonce, request_id=request_id, model=model, at=now(), attempts=1, status=200))
        await session.commit()
    app = web.Application(middlewares=[http_middleware(CollectorRegistry(), Traces("g", "g", 0.0, None), "off")])
    RouteTable().add_to(app, [InferenceRoutes(Settings(), InferenceLog(engine))])
    async with TestClient(TestServer(app)) as client:
        yield client
    await engine.dispose()


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/inference-log/one", 200, A),
        ("/inference-log/many", 409, "select one by ?model= or ?nonce="),
        ("/inference-log/many?model=m", 200, B),
        ("/inference-log/many?model=n", 409, "select one by ?nonce="),
        (f"/inference-log/many?nonce={C}", 200, C),
        (f"/inference-log/many?model=m&nonce={C}", 404, "no such request"),
        ("/inference-log/none", 404, "no such request"),
        ("/inference-log/%00", 404, "NUL"),
        ("/inference-log/many/records", 409, "?nonce="),
        ("/inference-log?request_id=many", 200, D),
    ],
)
async def test_one_request_is_shown_and_several_are_named(log, path, status, says):
    async with log.get(path) as answer:
        text = await answer.text()
        assert (answer.status, says in text) == (status, True), text


async def test_the_list_of_one_id_has_all_of_its_requests(log):
    async with log.get("/inference-log?request_id=many") as answer:
        found = await answer.json()
    assert {(row["nonce"], row["model"]) for row in found["requests"]} == {(B, "m"), (C, "n"), (D, "n")}
    assert found["total"] == 3
