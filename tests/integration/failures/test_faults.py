"""Parts are killed while predictions go on. Each test leaves the mesh as it found it."""

import asyncio
import contextlib
import signal

import aiohttp
import pytest
from modelmesh.cli.local.status import mesh_status
from modelmesh.schemas.errors import ControlPlaneUnavailable

from ..conftest import kill
from ..waiting import both_workers_serve, until


@contextlib.asynccontextmanager
async def steady_requests(client, model, row, expected, *, deadline=15.0):
    """Keep 8 requests in flight during the block; yield the list of wrong answers and errors."""
    wrong: list[object] = []
    answered = 0
    stop = asyncio.Event()

    async def send():
        nonlocal answered
        while not stop.is_set():
            try:
                answer = await client.predict(model, row, deadline=deadline)
                if answer["outputs"]["label"] != expected:
                    wrong.append(answer)
            except Exception as error:
                wrong.append(error)
            answered += 1

    async def more(count):
        goal = answered + count

        async def enough():
            return answered >= goal

        await until(enough, f"{count} more answers")

    senders = [asyncio.create_task(send()) for _ in range(8)]
    try:
        await more(100)
        yield wrong
        await more(100)
    finally:
        stop.set()
        await asyncio.gather(*senders)


async def ready(http):
    try:
        async with http.get("/health/ready") as answer:
            document = await answer.json()
            return answer.status == 200 and document["control_plane"]
    except aiohttp.ClientConnectionError:
        return False  # the gateway is not up again yet


async def test_versions_change_under_load_without_a_lost_request(sdk, kafka_client, cancer):
    rows, _, model = cancer
    for compile_model in (True, False):
        await sdk.register_model("changing", model, sample=rows[:10], compile=compile_model)
    expected = model.predict(rows[:1]).tolist()
    async with steady_requests(kafka_client, "changing", rows[0].tolist(), expected) as wrong:
        for _ in range(3):
            for version in ("2.0.0", "1.0.0"):
                deployed = await sdk.deploy("changing", version)
                assert deployed["ready"]
    assert wrong == []


async def test_a_worker_stopped_in_order_loses_nothing(mesh, http, kafka_client, forest, cancer):
    rows, _, model = cancer
    await both_workers_serve(mesh, forest)
    async with steady_requests(kafka_client, forest, rows[0].tolist(), model.predict(rows[:1]).tolist()) as wrong:
        process = kill(mesh, "worker-0", signal.SIGTERM)
        assert await process.wait() == 0
        await until(lambda: ready(http), "the mesh is ready again")
    assert wrong == []


async def test_a_killed_worker_delays_but_loses_nothing(mesh, http, kafka_client, forest, cancer):
    rows, _, model = cancer
    await both_workers_serve(mesh, forest)
    async with steady_requests(kafka_client, forest, rows[0].tolist(), model.predict(rows[:1]).tolist()) as wrong:
        await kill(mesh, "worker-1").wait()
        await until(lambda: ready(http), "the mesh is ready again")
    assert wrong == []


async def test_predictions_go_on_and_deployments_wait_while_the_control_plane_is_down(mesh, http, sdk, forest, cancer):
    rows, _, model = cancer
    before = next(d["generation"] for d in await sdk.deployments() if d["model"] == forest)
    kill(mesh, "control", signal.SIGSTOP)
    try:
        with pytest.raises(ControlPlaneUnavailable, match="whether the command took effect is not known"):
            await sdk.deploy(forest, "1.0.0")
        assert (await sdk.predict(forest, rows[0])).label == model.predict(rows[:1])[0]
    finally:
        await kill(mesh, "control").wait()
    await until(lambda: ready(http), "the control plane is back")
    # The table came back from its changelog, and the command that had expired was not carried out.
    deployed = await sdk.deploy(forest, "1.0.0", generation=before)
    assert deployed["event"]["generation"] == before + 1


async def test_a_killed_router_is_not_waited_for(mesh, http, kafka_client, forest, cancer):
    rows, _, model = cancer
    expected = model.predict(rows[:1]).tolist()
    async with steady_requests(kafka_client, forest, rows[0].tolist(), expected) as wrong:
        await kill(mesh, "router-0").wait()
        await until(lambda: ready(http), "the mesh is ready again")
    assert wrong == []


async def test_nothing_is_left_behind_once_all_is_answered(mesh, kafka_client, forest, cancer):
    rows, _, _ = cancer
    await kafka_client.predict_many(forest, rows[:50].tolist())

    async def no_lag():
        status = await mesh_status(mesh.settings)
        groups = {entry["group"] for entry in status["lag"]}
        assert all(role["pid"] for role in status["roles"])
        return "modelmesh.router" in groups and sum(entry["lag"] for entry in status["lag"]) == 0

    await until(no_lag, "every consumer is at the end of its topics")
