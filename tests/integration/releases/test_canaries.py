"""Canaries on a real mesh: they are rolled back or promoted by the judge or by a person."""

from __future__ import annotations

import asyncio

import pytest
from modelmesh.schemas.errors import InvalidInput, NotFound, StaleGeneration

from ...shell import run
from ..traffic import Traffic, history, release_of, strategy_is
from ..waiting import until


@pytest.mark.parametrize("behaviour", ["half", "all"])
async def test_a_failing_candidate_is_rolled_back_without_a_wrong_answer(sdk, kafka_client, register, behaviour):
    model = await register(f"failing-{behaviour}", {"fails": True})
    started = await sdk.create_canary(model, "2.0.0", 10, actor="tests")
    assert started["ready"]
    async with Traffic(kafka_client, model).flowing() as traffic:
        await traffic.more(200)
        assert {answer["version"] for answer in traffic.answers} == {"1.0.0", "2.0.0"}
        assert (await release_of(sdk, model))["strategy"] == "canary"
        traffic.flagged = 0.5 if behaviour == "half" else 1.0
        await strategy_is(sdk, model, "full")
        await traffic.more(100)
    assert traffic.wrong == []
    event = await history(sdk, model, "canary.rolled_back")
    assert event["actor"] == "judge"
    assert "fails more often than stable" in event["data"]["reason"]
    assert event["data"]["evidence"]["versions"]["2.0.0"]["failed"] > 0
    assert event["data"]["evidence"]["versions"]["1.0.0"]["failed"] == 0
    over = await sdk.canary(model)
    assert (over["status"], over["id"]) == ("rolled_back", started["deployment"]["id"])
    assert over["history"]["points"]
    assert over["history"]["fields"][:2] == ["seconds", "errors"]


async def test_a_candidate_that_is_slow_is_rolled_back(sdk, kafka_client, register):
    slow = {"iterations": 100, "slow_iterations": 3000}
    model = await register("slow", slow)
    await sdk.create_canary(model, "2.0.0", 10)
    async with Traffic(kafka_client, model).flowing() as traffic:
        await traffic.more(400)
        traffic.flagged = 1.0
        await strategy_is(sdk, model, "full")
    assert traffic.wrong == []
    event = await history(sdk, model, "canary.rolled_back")
    assert "times stable's" in event["data"]["reason"]


@pytest.mark.both_databases
async def test_the_users_threshold_rolls_back_beside_the_comparison(sdk, kafka_client, register):
    model = await register("threshold", {"fails": True})
    # With this alpha, the comparison cannot decide, even on a slow machine with many failures.
    await sdk.create_canary(model, "2.0.0", 50, auto_rollback_threshold=0.2, min_requests=10, alpha=1e-100)
    async with Traffic(kafka_client, model).flowing() as traffic:
        traffic.flagged = 1.0
        await strategy_is(sdk, model, "full")
    assert traffic.wrong == []
    event = await history(sdk, model, "canary.rolled_back")
    assert "threshold of 20.0%" in event["data"]["reason"]

    async def recorded():  # counterfactuals read the database, which follows the log
        return (await sdk.counterfactual(model))["recorded"]["decision"] == "rolled_back"

    await until(recorded, "the end of the canary in the database")
    # The same summaries judged under the same rules, with an unreachable threshold, and without one.
    as_it_was = await sdk.counterfactual(model)
    assert (as_it_was["recorded"]["decision"], as_it_was["would_have"]["decision"]) == ("rolled_back", "rollback")
    assert as_it_was["would_have"]["reason"] == event["data"]["reason"]
    assert (await sdk.counterfactual(event["data"]["id"], auto_rollback_threshold=1.0))["would_have"][
        "decision"
    ] == "hold"
    shown = run("counterfactual", model, "--rollback-at", "none", "--url", sdk.url)
    assert "was rolled back after" in shown.output
    assert "under these rules: hold" in shown.output
    with pytest.raises(InvalidInput, match="alpha"):
        await sdk.counterfactual(model, alpha=3)
    with pytest.raises(NotFound, match="whose rules were recorded"):
        await sdk.counterfactual("failing-nobody")


async def test_a_good_candidate_goes_up_its_steps_and_is_promoted(sdk, kafka_client, register):
    model = await register("good", {"iterations": 1})
    seen = []

    async def watch():
        async for event in sdk.watch(model):
            if event["kind"].startswith("canary."):  # the registration's event may arrive too
                seen.append(event["kind"])
            if event["kind"] == "canary.promoted":
                return

    watching = asyncio.create_task(watch())
    await sdk.create_canary(model, "2.0.0", steps=[10, 50, 100], hold_seconds=0.5, min_requests=10)
    async with Traffic(kafka_client, model).flowing() as traffic:
        await strategy_is(sdk, model, "full")
        await asyncio.wait_for(watching, 10)
    assert traffic.wrong == []
    assert (await release_of(sdk, model))["version"] == "2.0.0"
    # It may have been started before the watch was open.
    assert seen[-3:] == ["canary.stepped", "canary.stepped", "canary.promoted"]
    assert (await history(sdk, model, "canary.started"))["data"]["percentage"] == 10
    assert (await sdk.canary(model))["status"] == "promoted"


async def test_a_person_raises_the_share_promotes_and_rolls_back(sdk, register):
    model = await register("by-hand", {}, {})
    started = await sdk.create_canary(model, "2.0.0", 5)
    canary = started["deployment"]["id"]
    raised = await sdk.set_canary_percentage(canary, 40)
    assert [variant["weight"] for variant in raised["deployment"]["variants"]] == pytest.approx([0.6, 0.4])
    with pytest.raises(StaleGeneration):
        await sdk.promote_canary(model, generation=started["deployment"]["generation"])
    assert (await sdk.promote_canary(canary))["deployment"]["version"] == "2.0.0"
    with pytest.raises(NotFound):
        await sdk.rollback_canary(canary)
    again = await sdk.create_canary(model, "3.0.0", 5)
    with pytest.raises(NotFound):
        await sdk.rollback_canary(canary)  # the previous canary's id does not affect this one
    await sdk.rollback_canary(again["deployment"]["id"])
    assert (await release_of(sdk, model))["version"] == "2.0.0"
