"""A model is removed whole, live or not, and its name is free at once; a number that is given again means the new bytes."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from modelmesh.broker.kafka.connection import admin_client
from modelmesh.cli.local.status import consumer_lag, mesh_status
from modelmesh.schemas.documents.models import DeletedModel, Registered
from modelmesh.schemas.errors import InvalidInput, ModelMeshError, ModelNotFound, NotFound, VersionNotFound
from sklearn.dummy import DummyRegressor

from ..scrape import samples
from ..waiting import until

pytestmark = pytest.mark.both_databases

X = np.zeros((4, 1))


def constant(value):
    return DummyRegressor(strategy="constant", constant=float(value)).fit(X, [0] * 4)


async def answers(sdk, name, number=10):
    return {(await sdk.predict(name, [0.0])).value for _ in range(number)}


def artifact(mesh, digest):
    return Path(mesh.settings.data) / "artifacts" / digest[:2] / digest


async def topics_of(mesh):
    async with admin_client(mesh.settings) as admin:
        return set(await admin.list_topics())


async def test_a_number_that_is_given_again_means_the_new_bytes(sdk):
    await sdk.register_model("again", constant(1), sample=X, version="1.0.0", cache_ttl_seconds=60)
    await sdk.register_model("again", constant(2), sample=X, version="2.0.0", cache_ttl_seconds=60)
    assert await answers(sdk, "again") == {1.0}
    for value in (11.0, 12.0, 13.0):  # within the grace in which the old one is still loaded
        await sdk.deploy("again", "2.0.0")
        assert await answers(sdk, "again") == {2.0}
        await sdk.delete_version("again", "1.0.0")
        await sdk.register_model("again", constant(value), sample=X, version="1.0.0", cache_ttl_seconds=60)
        await sdk.deploy("again", "1.0.0")
        assert await answers(sdk, "again") == {value}

    async def is_told():
        events = [event for event in await sdk.history("again") if event["kind"] == "model.registered"]
        return len({event["data"]["digest"] for event in events if event["data"]["version"] == "1.0.0"}) == 4

    await until(is_told, "the history shows the number with all its digests")


async def test_the_same_bytes_served_otherwise_are_another_version_too(sdk):
    await sdk.register_model("otherwise", constant(1), sample=X, version="1.0.0")
    await sdk.register_model("otherwise", constant(2), sample=X, version="2.0.0")
    await sdk.deploy("otherwise", "2.0.0")
    await sdk.delete_version("otherwise", "1.0.0")
    await sdk.register_model(
        "otherwise", constant(1), sample=X, version="1.0.0", batching={"max_batch_size": 1, "max_latency_ms": 0}
    )
    await sdk.deploy("otherwise", "1.0.0")
    await asyncio.gather(*(sdk.predict("otherwise", [0.0]) for _ in range(50)))
    [release] = [each for each in await sdk.deployments() if each["model"] == "otherwise"]
    assert release["generation"] == 3
    page = await sdk.versions("otherwise")
    assert [version["batching"]["max_batch_size"] for version in page if version["version"] == "1.0.0"] == [1]


async def test_a_model_is_removed_whole_and_its_name_works_again_at_once(mesh, sdk):
    for life in range(1, 4):
        registered = await sdk.register_model("phoenix", constant(100 + life), sample=X)
        digest = registered["version"]["source_digest"]
        assert registered["ready"]
        assert registered["version"]["version"] == "1.0.0"
        assert await answers(sdk, "phoenix") == {100.0 + life}
        assert artifact(mesh, digest).exists()
        deleted = await sdk.delete_model("phoenix")
        assert deleted == {"name": "phoenix", "versions": {"1.0.0": digest}}
        with pytest.raises(ModelNotFound):
            await sdk.predict("phoenix", [0.0])
        with pytest.raises(ModelNotFound):
            await sdk.versions("phoenix")
        with pytest.raises(ModelNotFound):
            await sdk.delete_model("phoenix")
        assert not artifact(mesh, digest).exists()
        assert mesh.settings.topics().model("phoenix").name not in await topics_of(mesh)
        assert all(each["model"] != "phoenix" for each in await sdk.deployments())

    async def is_told():
        kinds = [event["kind"] for event in await sdk.history("phoenix")]
        return kinds.count("model.deleted") == 3 and kinds.count("release.removed") == 3

    await until(is_told, "the history tells of three removals")


async def test_removed_under_traffic_a_canary_and_all_the_callers_get_answers_or_404(mesh, sdk):
    await sdk.register_model("busy-gone", constant(1), sample=X)
    await sdk.register_model("busy-gone", constant(2), sample=X)
    await sdk.create_canary("busy-gone", "2.0.0", 50, latency_tolerance=None)
    seen, gone = [], asyncio.Event()

    async def ask():
        while not gone.is_set() or len(seen) < 100:
            try:
                seen.append((await sdk.predict("busy-gone", [0.0])).value)
            except ModelMeshError as error:
                seen.append(error.code)
                await asyncio.sleep(0.01)

    members = [member for member in mesh.supervisor.members if member.role in ("gateway", "router")]
    starts = [member.starts for member in members]
    callers = [asyncio.create_task(ask()) for _ in range(4)]
    await asyncio.sleep(0.3)
    outcomes = await asyncio.gather(*(sdk.delete_model("busy-gone") for _ in range(2)), return_exceptions=True)
    gone.set()
    await asyncio.gather(*callers)
    assert set(seen) <= {1.0, 2.0, ModelNotFound.code}
    assert seen[-1] == ModelNotFound.code
    # Twice at once: one does it, the other does it too or finds nothing left.
    assert any(isinstance(outcome, DeletedModel) for outcome in outcomes)
    assert all(isinstance(outcome, DeletedModel | NotFound) for outcome in outcomes)
    assert [member.starts for member in members] == starts


async def test_bytes_that_another_model_uses_stay(mesh, sdk):
    one = await sdk.register_model("twin-one", constant(7), sample=X)
    await sdk.register_model("twin-two", constant(7), sample=X)
    digests = {one["version"]["source_digest"], one["version"]["artifact_digest"]}
    await sdk.delete_model("twin-one")
    assert all(artifact(mesh, digest).exists() for digest in digests)
    assert await answers(sdk, "twin-two") == {7.0}
    await sdk.delete_model("twin-two")
    assert not any(artifact(mesh, digest).exists() for digest in digests)


async def test_who_does_not_repeat_the_name_removes_nothing(sdk, http):
    await sdk.register_model("kept", constant(3), sample=X)
    for query in ({}, {"confirm": ""}, {"confirm": "other"}):
        async with http.delete("/models/kept", params=query) as response:
            problem = await response.json()
        assert (response.status, problem["code"], problem["field"]) == (422, InvalidInput.code, "confirm")
    assert await answers(sdk, "kept") == {3.0}
    with pytest.raises(VersionNotFound):
        await sdk.delete_version("kept", "9.0.0")


async def test_registered_while_it_is_removed_either_all_of_it_is_gone_or_it_answers(sdk):
    await sdk.register_model("raced", constant(1), sample=X)
    _, registered = await asyncio.gather(
        sdk.delete_model("raced"), sdk.register_model("raced", constant(2), sample=X), return_exceptions=True
    )
    assert isinstance(registered, Registered)
    try:
        found = await answers(sdk, "raced", 3)
    except ModelNotFound:
        with pytest.raises(ModelNotFound):
            await sdk.versions("raced")
        await sdk.register_model("raced", constant(2), sample=X)
        found = await answers(sdk, "raced", 3)
    assert found == {2.0}


async def test_status_does_not_wait_for_a_topic_that_is_gone(mesh, sdk):
    await sdk.register_model("short-lived", constant(1), sample=X)
    await answers(sdk, "short-lived")
    await sdk.delete_model("short-lived")
    async with asyncio.timeout(20):
        assert await consumer_lag(mesh.settings)
        assert (await mesh_status(mesh.settings))["healthy"]


async def test_the_gateways_page_of_metrics_has_all_roles(mesh, sdk, http):
    await sdk.register_model("measured", constant(1), sample=X, cache_ttl_seconds=60)
    await sdk.register_model("measured", constant(2), sample=X, cache_ttl_seconds=60)
    await sdk.create_canary("measured", "2.0.0", 50, latency_tolerance=None)

    async def page():
        async with http.get("/metrics") as response:
            return await response.text()

    async def all_seven():
        for number in range(4):
            await sdk.predict("measured", [0.0], routing_key=f"u{number}")
        text = await page()
        return all(
            f"\n{name}{{" in text
            for name in (
                "http_requests_total", "http_request_duration_seconds_bucket", "predictions_total",
                "prediction_latency_seconds_bucket", "active_deployments", "canary_error_rate", "cache_events_total",
            )
        )  # fmt: skip

    await until(all_seven, "all seven metrics are on the gateway's page")
    counted = sum(sample.value for sample in await samples(mesh, "worker") if sample.name == "predictions_total")
    shown = [line for line in (await page()).splitlines() if line.startswith("predictions_total{")]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in shown) >= counted
    assert len({line.rsplit(" ", 1)[0] for line in shown}) == len(shown)
    await sdk.delete_model("measured")
