"""Judged again under its own rules, a canary ends as it did; under other rules it may end otherwise."""

import math

from hypothesis import given
from hypothesis import strategies as st
from modelmesh.control_plane.judge.counterfactual import RecordedCanary, judge_again
from modelmesh.control_plane.judge.judge import Judge
from modelmesh.schemas.payloads.commands import CommandBase
from modelmesh.schemas.payloads.releases import CanaryPlan
from modelmesh.schemas.payloads.rules import Rules, Step
from modelmesh.schemas.settings import Settings
from modelmesh.schemas.trial_id import TrialId

from ..releases import canary
from .test_evidence import summary

RULES = Rules(auto_rollback_threshold=0.3, min_requests=10, window_seconds=5, alpha=0.001)


RECORDED = RecordedCanary(TrialId("m", 2), "1.0.0", "2.0.0", CanaryPlan(rules=RULES), 0.0, math.inf, "running")


counts = st.tuples(st.integers(0, 50), st.integers(0, 12)).map(
    lambda pair: (max(pair), pair[1] if pair[1] <= pair[0] else 0)
)


@given(st.lists(st.tuples(counts, counts), max_size=40))
def test_under_its_own_rules_it_ends_as_the_judge_ended_it(seconds):
    summaries = [summary(seq, stable, candidate, at=float(seq)) for seq, (stable, candidate) in enumerate(seconds, 1)]
    release = canary(**RULES.model_dump())
    judge = Judge(Settings(), {}, {}, {})
    ended = None
    for one in summaries:
        commands = [news for news in judge.take_in(one, release, one.at) if isinstance(news, CommandBase)]
        if commands:
            ended = (commands[0].kind, one.at, commands[0].reason)
            break

    found = judge_again(RECORDED, summaries, CanaryPlan(rules=RULES))

    assert (found["decision"], found["at"]) == (ended[:2] if ended else ("hold", None))
    assert ended is None or found["reason"] == ended[2]


def test_other_rules_decide_otherwise():
    # A tenth of the candidate's requests fails, none of stable's.
    summaries = [summary(seq, (90, 0), (10, 1), at=float(seq)) for seq in range(1, 200)]
    held = judge_again(RECORDED, summaries[:3], CanaryPlan(rules=RULES))
    assert (held["decision"], held["summaries"]) == ("hold", 3)
    strict = Rules(auto_rollback_threshold=0.03, min_requests=10, alpha=1e-90)
    by_threshold = judge_again(RECORDED, summaries, CanaryPlan(rules=strict))
    assert "more than the threshold of 3.0%" in by_threshold["reason"]
    assert 10 <= by_threshold["at"] <= 60
    proved = judge_again(RECORDED, summaries, CanaryPlan(rules=Rules(alpha=0.01)))
    assert proved["decision"] == "rollback"
    assert "fails more often" in proved["reason"]


def test_steps_follow_the_plan():
    summaries = [summary(seq, (50, 0), (50, 0), at=float(seq)) for seq in range(1, 30)]
    plan = CanaryPlan(steps=(Step(percentage=10, hold_seconds=5), Step(percentage=50, hold_seconds=5)), rules=RULES)
    found = judge_again(RECORDED, summaries, plan)
    assert [(step["at"], step["percentage"]) for step in found["steps"]] == [(5.0, 50.0)]
    assert (found["decision"], found["at"]) == ("promote", 10.0)


def test_without_summaries_nothing_is_decided():
    assert judge_again(RECORDED, [], CanaryPlan(rules=RULES))["decision"] == "hold"
