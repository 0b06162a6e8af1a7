"""Releases on a real mesh: shadows are paired, users keep their variant, drift is detected, bad requests are refused."""

import asyncio
import contextlib
import random

import pytest
from modelmesh.schemas.documents.releases import Deployed
from modelmesh.schemas.errors import NotFound, StaleGeneration

from ..traffic import Traffic, history, release_of
from ..waiting import until


async def test_two_operators_at_once_get_a_409_not_a_mix(sdk, register):
    model = await register("operators", {}, {})
    generation = (await release_of(sdk, model))["generation"]
    outcomes = await asyncio.gather(
        sdk.create_canary(model, "2.0.0", 10, generation=generation),
        sdk.create_shadow(model, "1.0.0", "3.0.0", generation=generation),
        sdk.create_experiment(
            model,
            [{"name": "a", "version": "1.0.0", "weight": 50}, {"name": "b", "version": "2.0.0", "weight": 50}],
            generation=generation,
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Deployed) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, StaleGeneration) for outcome in outcomes) == 2


@pytest.mark.both_databases
async def test_a_user_keeps_a_variant_and_an_experiment_has_results(sdk, kafka_client, register):
    model = await register("arms", {"scale": 2.0, "iterations": 1}, {"fails": True})
    arms = [
        {"name": "control", "version": "1.0.0", "weight": 50},
        {"name": "same", "version": "2.0.0", "weight": 30},
        {"name": "failing", "version": "3.0.0", "weight": 20},
    ]
    started = await sdk.create_experiment(model, arms, name="which is best")
    assert started["ready"]
    users = [f"user-{number}" for number in range(60)]
    first, second = [
        [(await kafka_client.predict(model, [0, 1], routing_key=user))["version"] for user in users] for _ in range(2)
    ]
    assert first == second
    assert set(first) == {"1.0.0", "2.0.0", "3.0.0"}
    flagged = await asyncio.gather(*(kafka_client.predict(model, [1, 3], routing_key=user) for user in users))
    # The control answers for a failing arm.
    assert all(answer["outputs"]["value"] == [6.0] for answer in flagged)

    async def counted():
        results = (await sdk.experiment(model))["results"] or {}
        return sum(arm["requests"] for arm in results.values()) == 3 * len(users)

    await until(counted, "all requests in the results")
    results = (await sdk.experiment(model))["results"]
    for arm, version in (("control", "1.0.0"), ("same", "2.0.0"), ("failing", "3.0.0")):
        assert results[arm]["requests"] == 3 * first.count(version)
    assert results["control"]["failed"] == results["same"]["failed"] == 0
    assert results["failing"]["failed"] == first.count("3.0.0")
    low, high = results["failing"]["failure_rate_interval"]
    assert low < results["failing"]["failure_rate"] < high
    assert results["failing"]["against_control"]["failure_rate"]["interval"][0] > 0
    stopped = await sdk.stop_experiment(model, "same", reason="it was")
    assert stopped["deployment"]["version"] == "2.0.0"

    async def ended():
        experiment = await sdk.experiment(started["deployment"]["id"])
        return experiment["status"] == "stopped" and experiment["name"] == "which is best"

    await until(ended, "the stopped experiment in the history")
    assert (await sdk.experiment(started["deployment"]["id"]))["results"]["control"]["requests"] > 0


async def test_each_shadow_copy_is_paired_or_shed_and_differences_are_listed(sdk, kafka_client, register):
    model = await register("shadowed", {"scale": 3.0})
    await sdk.create_shadow(model, "1.0.0", "2.0.0")
    async with Traffic(kafka_client, model, rate=300).flowing() as traffic:
        await traffic.more(300)
    assert traffic.wrong == []
    assert {answer["version"] for answer in traffic.answers} == {"1.0.0"}
    sent = len(traffic.answers)

    async def accounted_for():
        with contextlib.suppress(NotFound):
            shadow = await sdk.shadow(model)
            return shadow["paired"] + shadow["shed"] == sent and shadow["copied"] == sent
        return False

    await until(accounted_for, f"{sent} pairs")
    shadow = await sdk.shadow(model)
    assert shadow["alone"] == 0
    assert shadow["agreement"] < 0.1
    assert shadow["agreement_interval"][0] <= shadow["agreement"] <= shadow["agreement_interval"][1]
    worst = shadow["worst"][0]
    assert worst["shadow"]["value"][0] == pytest.approx(1.5 * worst["production"]["value"][0])
    assert (await sdk.stop_shadow(model))["deployment"]["strategy"] == "full"


async def test_drift_is_detected_and_the_first_rows_are_the_reference(sdk, kafka_client, register):
    model = await register("drifting")
    generator = random.Random(0)

    async def send(count, mean):
        rows = [[0.0, generator.gauss(mean, 1.0)] for _ in range(count)]
        for begin in range(0, count, 250):
            await kafka_client.predict(model, rows[begin : begin + 250])

    async def seen(what, mean):
        """Send rows until `what` is true of the drift's figures."""

        async def enough():
            await send(250, mean)
            with contextlib.suppress(NotFound):
                return what((await sdk.drift(model))["versions"]["1.0.0"])
            return False

        await until(enough, "rows in the drift's figures")

    await seen(lambda drift: drift["reference"], 0.0)
    await seen(lambda drift: drift["windows_judged"] >= 2, 0.0)
    assert not (await sdk.drift(model))["versions"]["1.0.0"]["drifting"]
    await seen(lambda drift: drift["drifting"], 0.5)
    event = await history(sdk, model, "drift.detected")
    assert event["data"]["features"][0]["feature"] == "x[1]"


async def test_latency_is_shown_by_version(sdk, kafka_client, register):
    model = await register("timed")
    for number in range(20):
        await kafka_client.predict(model, [0, number])

    async def there():
        found = (await sdk.latency(model)).get(model, {"versions": {}})["versions"].get("1.0.0", {})
        return set(found) == {"1m", "5m", "1h"} and found["1h"]["requests"] == 20

    await until(there, "three windows")
    minute = (await sdk.latency(model))[model]["versions"]["1.0.0"]["1m"]
    assert 0 < minute["p50_ms"] <= minute["p95_ms"] <= minute["p99_ms"]
