"""Metrics, statistics and traces may raise: the answer is sent, and the failure is counted."""

import asyncio
import time

import numpy as np
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from modelmesh.runtime.chaos import Chaos
from modelmesh.schemas.errors import CircuitOpen, ModelFailed
from modelmesh.schemas.records import PredictionRequest
from modelmesh.schemas.settings import Settings
from modelmesh.telemetry.bookkeeping import Bookkeeping
from modelmesh.telemetry.http import http_middleware
from modelmesh.telemetry.tracing import Traces
from modelmesh.workers.model_server import ModelServer
from modelmesh.workers.observer import Observer
from modelmesh.workers.versions.results import BatchRun
from modelmesh.workers.versions.runner import VersionRunner
from prometheus_client import CollectorRegistry

from ..releases import full
from .versions.test_odd_models import SPEC, Model, double

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Raises:
    """Stands for metrics, observer or traces: all calls raise."""

    def __getattr__(self, name):
        def fail(*_, **__):
            raise RuntimeError(f"{name} is broken")

        return fail


class Ignores:
    """All calls do nothing."""

    def __getattr__(self, name):
        return lambda *_, **__: None


class Answers(list):
    """Stands for the ReplyWriter."""

    def reply(self, request, delivery, outcome, **options):
        self.append(outcome)


@pytest.mark.parametrize("broken", ["metrics", "observer", "traces"])
async def test_an_answer_is_sent_even_if_bookkeeping_raises(broken):
    registry, answers = CollectorRegistry(), Answers()
    keep_books = Bookkeeping(registry)
    parts = {"metrics": Ignores(), "observer": Ignores(), "traces": Traces("worker", "w", 0.0, None)}
    parts |= {broken: Raises()} if broken in parts else {}
    servers = {}

    release = full()
    server = ModelServer(
        Settings(), "m", servers, answers, parts["metrics"], parts["observer"], is_busy=lambda: False, not_loaded_message=str,
        chaos=Chaos(Settings()), traces=parts["traces"], on_breaker=lambda version, state: None, keep_books=keep_books,
    )  # fmt: skip
    server.release = release
    version = release.stable.version
    spec = SPEC.model_copy(update={"version": version, "identity": release.identities[version]})
    servers[spec.identity] = VersionRunner(spec, Model(double), on_result=server.answer, on_batch=server.on_batch)
    for number in range(3):
        body = orjson.dumps({"inputs": {"a": number}})
        request = PredictionRequest(
            str(number), "m", time.time() + 60, "replies", 0, body, version=spec.version, traceparent=SAMPLED
        )
        server.submit(request, None)
    async with asyncio.timeout(10):
        while len(answers) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert [orjson.loads(answer)["outputs"]["value"][0] for answer in answers] == [0, 2, 4]
    assert server.primaries == 0
    failures = sum(
        sample.value for family in registry.collect() for sample in family.samples if sample.name.endswith("_total")
    )
    assert failures > 0


async def test_a_breaker_listener_that_raises_does_not_lose_an_answer():
    answers, servers = Answers(), {}

    def on_breaker(version, state):
        raise RuntimeError("the breaker's listener is broken")

    def broken(numbers):
        raise ModelFailed("always")

    registry = CollectorRegistry()
    server = ModelServer(
        Settings(), "m", servers, answers, Ignores(), Ignores(), is_busy=lambda: False, not_loaded_message=str,
        chaos=Chaos(Settings()), traces=Traces("worker", "w", 0.0, None), on_breaker=on_breaker,
        keep_books=Bookkeeping(registry),
    )  # fmt: skip
    server.release = release = full()
    spec = SPEC.model_copy(update={"version": "1.0.0", "identity": release.identities["1.0.0"]})
    servers[spec.identity] = VersionRunner(spec, Model(broken), on_result=server.answer, on_batch=server.on_batch)
    for number in range(100):
        body = orjson.dumps({"inputs": {"a": 1}})
        server.submit(PredictionRequest(str(number), "m", time.time() + 60, "replies", 0, body, version="1.0.0"), None)
        async with asyncio.timeout(10):
            while len(answers) <= number:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    assert {type(answer) for answer in answers} == {ModelFailed, CircuitOpen}
    assert registry.get_sample_value("bookkeeping_failures_total", {"what": "breaker"}) >= 1


async def test_a_gateway_whose_metrics_are_broken_answers(monkeypatch):
    registry = CollectorRegistry()

    async def here(request):
        return web.Response(text="here")

    app = web.Application(middlewares=[http_middleware(registry, Traces("gateway", "g", 0.0, None), "all")])
    app.router.add_get("/", here)
    monkeypatch.setattr("prometheus_client.Histogram.observe", Raises().observe)
    monkeypatch.setattr("modelmesh.telemetry.access_log.log.info", Raises().info)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/")
        assert (answer.status, await answer.text()) == (200, "here")
    for what in ("metrics", "access log"):
        assert registry.get_sample_value("bookkeeping_failures_total", {"what": what}) == 1


async def test_rows_that_cannot_be_summarized_do_not_lose_the_counts():
    sent = []

    class Outbox:
        def send(self, topic, value, *, key):
            sent.append(orjson.loads(value))

    observer = Observer(Settings(), Outbox(), "epoch")
    release = full()
    version = release.stable.version
    identity = release.identities[version]
    observer.set_release("m", release)
    for shape in ((2, 3), (2, 5), (4, 3, 3)):  # a free dimension
        inputs = {"x": np.zeros(shape)}
        outputs = {"value": np.zeros(shape[0])}
        observer.ran("m", BatchRun(version, release.trial, shape[0], 0.1, inputs, outputs, [], [], identity))
        observer.answered("m", release.trial, version, identity, 0.1)
    observer.flush()
    assert sent[0]["versions"][version]["requests"] == 3


async def test_a_summary_that_raises_does_not_stop_the_next():
    sent = []

    class Outbox:
        def send(self, topic, value, *, key):
            if key == "bad":
                raise RuntimeError("broken")
            sent.append(key)

    observer = Observer(Settings(), Outbox(), "epoch")
    for model in ("bad", "good"):
        observer.answered(model, 1, "1.0.0", "id", 0.1)
    observer.flush()
    assert sent == ["good"]
