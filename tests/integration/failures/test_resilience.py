"""Retries, breakers, back-pressure, poison and chaos on the real pipeline."""

import asyncio
import signal
import time
from uuid import uuid4

import pytest
from modelmesh.broker.kafka.connection import make_producer
from modelmesh.broker.kafka.topics import ensure_topics
from modelmesh.cli.local.status import mesh_status
from modelmesh.producers.client import PredictionClient
from modelmesh.producers.dead_letters import DeadLetters
from modelmesh.producers.faults import FaultInjector
from modelmesh.schemas.errors import (
    CircuitOpen,
    ModelFailed,
    Overloaded,
    PoisonousRequest,
    Unavailable,
)
from modelmesh.schemas.payloads.chaos import Fault
from modelmesh.schemas.records import PredictionRequest

from ..conftest import kill
from ..waiting import both_workers_serve, logged, until
from .test_faults import ready, steady_requests


@pytest.fixture(scope="module")
async def chaos(mesh):
    async with FaultInjector(mesh.settings) as injector:
        yield injector


def fault(kind, seconds=60.0, **options):
    return Fault(kind=kind, until=time.time() + seconds, **options)


async def test_a_frozen_worker_is_not_waited_for(mesh, http, kafka_client, sdk, register):
    model = await register("frozen")
    await both_workers_serve(mesh, model)
    for number in range(50):
        await kafka_client.predict(model, [0, number])
    slowest = 0.0
    kill(mesh, "worker-0", signal.SIGSTOP)
    try:
        for number in range(100):
            began = time.monotonic()
            answer = await kafka_client.predict(model, [0, number])
            slowest = max(slowest, time.monotonic() - began)
            assert answer["outputs"]["value"] == [2.0 * number]
    finally:
        kill(mesh, "worker-0", signal.SIGCONT)
    # Not a timing of ours: it stood still for as long as the test asked, and whoever waited for it would still wait.
    assert slowest < mesh.settings.deadline
    assert kafka_client.retries > 0
    await until(lambda: ready(http), "the mesh is ready again")


async def test_a_lost_answer_is_asked_for_again_and_every_id_has_one_outcome(mesh, sdk, kafka_client, chaos, register):
    model = await register("dropped")
    for number in range(50):
        await kafka_client.predict(model, [0, number])
    ids = [f"dropped-{uuid4().hex}" for _ in range(40)]
    async with chaos.on(fault("drop-replies", model=model, share=0.3)):
        answers = await asyncio.gather(
            *(kafka_client.predict(model, [0, n], request_id=request_id) for n, request_id in enumerate(ids)),
            return_exceptions=True,
        )
    assert [answer["outputs"]["value"] for answer in answers if isinstance(answer, dict)] == [
        [2.0 * n] for n, answer in enumerate(answers) if isinstance(answer, dict)
    ]
    assert sum(isinstance(answer, dict) for answer in answers) > 35
    rows = [await logged(sdk, request_id) for request_id, a in zip(ids, answers, strict=True) if isinstance(a, dict)]
    assert {row["status"] for row in rows} == {200}
    assert any(row["attempts"] > 1 for row in rows)


async def test_an_open_breaker_refuses_at_once_and_closes_by_itself(mesh, sdk, kafka_client, chaos, register):
    model = await register("breaks")
    await kafka_client.predict(model, [0, 1])
    async with chaos.on(fault("error", model=model)):

        async def refused():
            try:
                await kafka_client.predict(model, [0, 1])
            except ModelFailed:
                return False
            except CircuitOpen as error:
                return error.retry_after is not None
            return False

        await until(refused, "the breaker opens")

    async def answered():
        try:
            return (await kafka_client.predict(model, [0, 3]))["outputs"]["value"] == [6.0]
        except (CircuitOpen, ModelFailed):
            return False

    await until(answered, "the breaker closes")

    async def told():
        await answered()  # the probes
        kinds = {event["kind"] for event in await sdk.history(model)}
        return {"breaker.open", "breaker.half_open", "breaker.closed"} <= kinds

    await until(told, "the breaker's events")


async def test_an_open_candidate_is_answered_by_stable(sdk, kafka_client, chaos, register):
    model = await register("open-candidate", {})
    # So small a chance of a mistake that the judge decides nothing before the test ends.
    await sdk.create_canary(model, "2.0.0", 50, alpha=1e-300, auto_rollback_threshold=1.0, min_requests=100_000)

    async def answered_by_stable():
        asked = (kafka_client.predict(model, [0, number]) for number in range(100))
        answers = await asyncio.gather(*asked)
        assert [answer["outputs"]["value"] for answer in answers] == [[2.0 * number] for number in range(100)]
        assert {answer["version"] for answer in answers} == {"1.0.0"}

    async with chaos.on(fault("error", seconds=300.0, model=model, version="2.0.0")):

        async def is_open():
            await answered_by_stable()
            return "breaker.open" in {event["kind"] for event in await sdk.history(model)}

        await until(is_open, "the candidate's breaker opens")
        await answered_by_stable()
    assert "canary.rolled_back" not in {event["kind"] for event in await sdk.history(model)}


async def test_a_request_that_would_wait_too_long_is_refused_at_once(mesh, sdk, kafka_client, chaos, register):
    model = await register("crowded")
    refused = []

    async def crowd():
        # More than both workers answer within the deadline; where this machine is too slow to send them in time, again.
        asked = (kafka_client.predict(model, [0, n], deadline=5.0) for n in range(3000))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused.extend(answer for answer in answers if isinstance(answer, Overloaded))
        return refused

    async with chaos.on(fault("latency", seconds=300.0, model=model, milliseconds=400)):
        await asyncio.gather(*(kafka_client.predict(model, [0, n]) for n in range(4)))
        await until(crowd, "some are refused", seconds=150)
    assert all(answer.retry_after for answer in refused)


async def test_a_client_takes_no_more_than_it_may(mesh, register):
    model = await register("limited")
    settings = mesh.settings.model_copy(update={"max_in_flight": 3})
    async with PredictionClient(settings) as client:
        answers = await asyncio.gather(*(client.predict(model, [0, n]) for n in range(10)), return_exceptions=True)
        assert sum(isinstance(answer, Overloaded) for answer in answers) == 7
        assert (await client.predict(model, [0, 4]))["outputs"]["value"] == [8.0]


async def test_a_record_that_kills_its_worker_twice_is_put_aside(mesh, http, sdk, kafka_client, chaos, register):
    model = await register("poisoned")
    for number in range(10):
        await kafka_client.predict(model, [0, number])
    settings = mesh.settings.model_copy(update={"max_attempts": 1})
    request_id = f"poison-{uuid4().hex}"
    async with chaos.on(fault("crash", model=model, routing_key="poison")), PredictionClient(settings) as client:
        with pytest.raises(PoisonousRequest, match="died on it twice"):
            await client.predict(model, [0, 1], routing_key="poison", request_id=request_id, deadline=60)
        # Whoever put it aside may have told so before the routers hear that it serves the model again.
        await until(lambda: ready(http), "the mesh is ready again")
        assert (await kafka_client.predict(model, [0, 5]))["outputs"]["value"] == [10.0]
    assert (await logged(sdk, request_id))["status"] == 500
    letters = DeadLetters(mesh.settings)
    [letter] = [letter for letter in await letters.list() if letter.request and letter.request.request_id == request_id]
    assert "twice" in letter.reason
    # It was the fault's doing: without the fault it can be sent again.
    reply = await letters.redrive(letter)
    assert reply.ok
    assert (await letters.get(letter.number)).redriven


async def test_what_is_too_late_is_not_done(mesh, sdk, register):
    model = await register("late")
    topics = mesh.settings.topics()
    request_id = f"late-{uuid4().hex}"
    request = PredictionRequest(request_id, model, time.time() - 1, topics.replies.name, 0, b'{"inputs": [0, 1]}')
    producer = make_producer(mesh.settings)
    await producer.start()
    try:
        await producer.send_and_wait(topics.requests.name, request.body, headers=request.headers())
    finally:
        await producer.stop()
    row = await logged(sdk, request_id)
    assert (row["status"], row["reply"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.timeout(600)
@pytest.mark.both_databases
async def test_a_rolling_restart_is_not_felt(mesh, http, kafka_client, forest, cancer):
    rows, _, model = cancer
    async with steady_requests(kafka_client, forest, rows[0].tolist(), model.predict(rows[:1]).tolist()) as wrong:
        for name in ("worker-0", "worker-1", "router-0", "router-1", "control", "recorder"):
            process = kill(mesh, name, signal.SIGTERM)
            assert await process.wait() == 0

            async def back(name=name):
                status = await mesh_status(mesh.settings)
                return status["healthy"] and await ready(http)

            # A worker that comes back loads every model of the tests before this one.
            await until(back, f"{name} is ready again", seconds=120)
    assert wrong == []


async def test_predictions_go_on_without_the_artifact_store(mesh, kafka_client, forest, cancer):
    rows, _, model = cancer
    artifacts = mesh.settings.data / "artifacts"
    away = artifacts.rename(artifacts.with_name("artifacts-away"))
    try:
        answer = await kafka_client.predict(forest, rows[0].tolist())
        assert answer["outputs"]["label"] == model.predict(rows[:1]).tolist()
    finally:
        away.rename(artifacts)


async def test_chaos_is_refused_where_nobody_has_it_switched_on(mesh, forest):
    elsewhere = mesh.settings.model_copy(update={"prefix": "nobody"})
    await ensure_topics(elsewhere, elsewhere.topics())
    async with FaultInjector(elsewhere) as injector:
        with pytest.raises(Unavailable, match="MODELMESH_CHAOS"):
            await injector.start(fault("error"))
