"""A person overrules the judge on a real mesh: a bad candidate stays while it is paused, and goes once it is resumed."""

from ...shell import printed
from ..traffic import Traffic, history, release_of, strategy_is
from ..waiting import until


async def test_a_bad_candidate_stays_while_the_judge_is_paused_and_costs_no_caller_anything(
    sdk, kafka_client, register
):
    model = await register("overruled", {"fails": True})
    await sdk.create_canary(model, "2.0.0", 20)
    paused = await sdk.pause_canary(model, "the error is known", actor="ann")
    assert paused.event.data["reason"] == "the error is known"

    async def would_roll_back():
        statistics = (await sdk.canary(model)).statistics or {}
        return statistics.get("unpaused_decision", {}).get("kind") == "rollback"

    async with Traffic(kafka_client, model).flowing() as traffic:
        traffic.flagged = 1.0
        await until(would_roll_back, "evidence that would roll it back")
        await traffic.more(200)
        assert (await release_of(sdk, model))["strategy"] == "canary"
        shown = await printed("canary", "show", model, "--url", sdk.url)
        assert "the judge is paused by ann" in shown
        assert "the error is known" in shown
        await sdk.resume_canary(model, "mended after all", actor="bob")
        await strategy_is(sdk, model, "full")
    assert traffic.wrong == []
    for kind, actor, reason in (
        ("canary.paused", "ann", "the error is known"),
        ("canary.resumed", "bob", "mended after all"),
    ):
        event = await history(sdk, model, kind)
        assert (event["actor"], event["data"]["reason"]) == (actor, reason)
    assert (await history(sdk, model, "canary.rolled_back"))["actor"] == "judge"
