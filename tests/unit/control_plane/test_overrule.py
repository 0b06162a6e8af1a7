"""A person overrules the judge: transitions, decisions while something is overruled, and what must never change."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.control_plane.judge.decision import EXCLUDABLE, decide, figures, reasons_against
from modelmesh.control_plane.judge.judge import Judge
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.schemas.payloads.overrides import LONGEST_OVERRIDE, REASON_LENGTH
from modelmesh.schemas.payloads.releases import Release
from modelmesh.schemas.settings import Settings

from .. import releases
from ..releases import command
from .test_evidence import after, summary

ALL_BAD = [summary(seq, (90, 0), (10, 10)) for seq in range(1, 6)]


def state(**options):
    return ReleaseState(release=releases.canary(**options))


class Run:
    """Applies commands in order, each with an id of its own."""

    def __init__(self, before):
        self.state, self.number = before, 0

    def do(self, kind, now=1.0, **fields):
        self.number += 1
        fields = {"reason": "because", "actor": "ann"} | fields
        self.state, event = step(self.state, command(kind, f"c{self.number}", expires_at=1e12, **fields), now)
        return event

    @property
    def canary(self):
        return self.state.release.running_canary

    @property
    def overrides(self):
        return self.canary.plan.overrides


def test_a_pause_says_who_since_when_and_why_and_the_history_has_it():
    run = Run(state())
    event = run.do("pause_judge", now=5.0, reason="the database is being moved", until=65.0)
    assert (event.kind, event.actor, event.data.reason) == ("canary.paused", "ann", "the database is being moved")
    assert (event.data.until, event.data.candidate) == (65.0, "2.0.0")
    paused = run.overrides.paused
    assert (paused.actor, paused.reason, paused.at, paused.until) == ("ann", "the database is being moved", 5.0, 65.0)
    assert Release.model_validate_json(run.state.release.model_dump_json()) == run.state.release
    event = run.do("resume_judge", actor="bob", reason="moved")
    assert (event.kind, event.actor, event.data.reason) == ("canary.resumed", "bob", "moved")
    assert "paused by ann" in event.summary
    assert run.overrides.paused is None


def test_while_paused_nothing_is_decided_and_all_is_counted_and_shown():
    run, evidence = Run(state(steps=((5, 0), (50, 0)), min_requests=1, failure_margin=None)), after(ALL_BAD)
    run.do("pause_judge", until=100.0)
    decided = decide(evidence, run.canary, 99.0)
    assert decided.kind == "hold"
    assert "paused by ann" in decided.reason
    assert "because" in decided.reason
    assert figures(evidence, run.canary) == figures(evidence, run.canary.unpaused())
    assert decide(evidence, run.canary, 100.0).kind == "resume"
    good = after([summary(1, (100, 0), (10, 0))])
    assert decide(good, run.canary, 99.0).kind == "hold"
    run.do("resume_judge")
    assert decide(evidence, run.canary, 99.0).kind == "rollback"
    assert decide(good, run.canary, 99.0).kind == "step"


def test_a_pause_of_some_time_ends_by_a_command_of_the_judge():
    run, judge = Run(state()), Judge(Settings(), {}, {}, {})
    run.do("pause_judge", now=1.0, until=10.0)
    assert judge.take_in(ALL_BAD[0], run.state.release, 9.0) == []
    shown = judge.release_document(run.state.release, 9.0)
    assert (shown["decision"]["kind"], shown["unpaused_decision"]["kind"]) == ("hold", "rollback")
    [resume] = judge.take_in(ALL_BAD[1], run.state.release, 10.0)
    assert (resume.kind, resume.actor) == ("resume_judge", "judge")
    run.state, event = step(run.state, resume, 10.0)
    assert (event.kind, event.actor) == ("canary.resumed", "judge")
    # At once, whatever was sent at the generation before.
    [rollback] = judge.take_in(ALL_BAD[2], run.state.release, 10.1)
    assert step(run.state, rollback, 10.1)[1].kind == "canary.rolled_back"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("pause_judge", {}), ("exclude_comparison", {"comparison": "errors"}), ("hold_step", {"until": 50.0})],
)
def test_what_the_judge_decided_before_it_was_overruled_is_refused_and_decided_again(kind, fields):
    run, judge = Run(state(steps=((5, 1000), (50, 0)))), Judge(Settings(), {}, {}, {})
    [early] = judge.take_in(ALL_BAD[0], run.state.release, 1.0)
    assert early.kind == "rollback"
    run.do(kind, **fields)
    run.state, event = step(run.state, early, 1.0)
    assert (event.kind, event.problem["code"]) == ("command.refused", "stale_generation")
    again = judge.take_in(ALL_BAD[1], run.state.release, 1.1)
    assert [one.kind for one in again] == (["rollback"] if kind == "hold_step" else [])
    assert run.do("rollback").kind == "canary.rolled_back", "a person's is not refused"


def test_an_excluded_comparison_decides_nothing_and_is_shown_as_excluded():
    run, evidence = Run(state()), after(ALL_BAD)
    run.do("exclude_comparison", comparison="errors", reason="an outage of the shop", actor="ann")
    decided = decide(evidence, run.canary, 10.0)
    assert decided.kind == "hold"
    shown = figures(evidence, run.canary)["comparisons"]["errors"]
    assert "by ann" in shown.pop("excluded")
    assert shown == figures(evidence, releases.canary().running_canary)["comparisons"]["errors"]
    event = run.do("include_comparison", comparison="errors")
    assert (event.kind, event.data.comparison) == ("canary.included", "errors")
    assert decide(evidence, run.canary, 10.0).kind == "rollback"


def test_an_excluded_comparison_does_not_stand_in_the_way_of_a_step():
    rules = {"steps": ((5, 0), (50, 0)), "min_requests": 1, "failure_margin": 0.05, "alpha": 1e-100}
    run, evidence = Run(state(**rules)), after(ALL_BAD)
    assert "evidence against it" in decide(evidence, run.canary, 10.0).reason
    run.do("exclude_comparison", comparison="errors")
    assert decide(evidence, run.canary, 10.0).kind == "step"


def test_the_threshold_and_drift_are_excluded_too():
    run, evidence = Run(state(auto_rollback_threshold=0.1, on_drift="rollback", alpha=1e-100)), after(ALL_BAD)
    evidence.drifted = "amount"
    assert len(reasons_against(evidence, run.canary)) == 2
    run.do("exclude_comparison", comparison="threshold")
    assert reasons_against(evidence, run.canary) == ["the inputs drifted: amount"]
    run.do("exclude_comparison", comparison="drift")
    assert decide(evidence, run.canary, 10.0).kind == "hold"


@given(st.sets(st.sampled_from(EXCLUDABLE)), st.integers(0, 10), st.integers(0, 10), st.sampled_from([2.0, 50.0]))
@settings(deadline=None, max_examples=40)
def test_excluding_gives_no_other_comparison_a_reason(excluded, failed, stable_failed, ms):
    stream = [summary(seq, (40, stable_failed), (10, failed), ms=(2.0, ms)) for seq in range(1, 30)]
    rules = {"auto_rollback_threshold": 0.2, "on_output_drift": "rollback"}
    run, evidence = Run(state(**rules)), after(stream)
    before, limits = reasons_against(evidence, run.canary), figures(evidence, run.canary)["comparisons"]
    for name in sorted(excluded):
        run.do("exclude_comparison", comparison=name)
    assert set(reasons_against(evidence, run.canary)) <= set(before)
    for name, found in figures(evidence, run.canary)["comparisons"].items():
        assert found["limit"] == limits[name]["limit"]
        assert (name in excluded) == ("excluded" in found)


def test_a_held_step_is_left_later_and_still_rolled_back():
    rules = {"steps": ((5, 10), (50, 10)), "min_requests": 1, "failure_margin": None}
    run, good = Run(state(**rules)), after([summary(1, (100, 0), (10, 0))])
    assert decide(good, run.canary, 20.0).kind == "step"
    event = run.do("hold_step", now=20.0, until=3620.0)
    assert (event.kind, event.data.until, event.data.percentage) == ("canary.held", 3620.0, 10)
    assert "held by ann" in decide(good, run.canary, 3619.0).reason
    assert decide(good, run.canary, 3620.0).kind == "step"
    assert decide(after(ALL_BAD), run.canary, 30.0).kind == "rollback"
    run.do("hold_step", now=30.0, until=None)
    assert decide(good, run.canary, 31.0).kind == "step"
    run.do("hold_step", now=31.0, until=1000.0)
    run.do("step_canary", now=32.0, percentage=50)
    assert run.overrides.held is None, "it was about the step before"


@pytest.mark.parametrize(
    ("before", "kind", "fields", "status", "says"),
    [
        ([], "resume_judge", {}, 409, "nothing to resume"),
        ([("pause_judge", {})], "pause_judge", {}, 409, "resume it first"),
        ([], "pause_judge", {"reason": " "}, 422, "say why"),
        ([], "pause_judge", {"reason": "x" * (REASON_LENGTH + 1)}, 422, "a reason may have 1000 characters"),
        ([], "pause_judge", {"actor": "x" * 200}, 422, "an actor 128"),
        ([], "pause_judge", {"until": 1.0}, 422, "in the future"),
        ([], "pause_judge", {"until": 2 + LONGEST_OVERRIDE}, 422, "at most 30 days"),
        ([], "exclude_comparison", {"comparison": "p42"}, 422, "one of errors, p50"),
        ([("exclude_comparison", {"comparison": "p99"})], "exclude_comparison", {"comparison": "p99"}, 409, "include it first"),
        ([("exclude_comparison", {"comparison": "p95"})], "include_comparison", {"comparison": "p99"}, 409, "excluded: p95"),
        ([], "hold_step", {"until": 50.0}, 409, "no steps"),
    ],
)  # fmt: skip
def test_illegal_ones_are_refused_and_say_what_to_do(before, kind, fields, status, says):
    run = Run(state())
    for name, options in before:
        assert run.do(name, **options).problem is None
    release = run.state.release
    event = run.do(kind, **fields)
    assert event.problem["status"] == status
    assert says in event.problem["detail"]
    assert run.state.release == release


def test_without_a_canary_there_is_nothing_to_overrule():
    assert Run(ReleaseState(release=releases.full())).do("pause_judge").problem["code"] == "illegal_transition"


ONE = st.one_of(
    st.tuples(st.just("pause_judge"), st.fixed_dictionaries({"until": st.none() | st.floats(2.0, 9.0)})),
    st.tuples(st.just("resume_judge"), st.just({})),
    st.tuples(
        st.sampled_from(["exclude_comparison", "include_comparison"]),
        st.fixed_dictionaries({"comparison": st.sampled_from(EXCLUDABLE)}),
    ),
    st.tuples(st.just("hold_step"), st.fixed_dictionaries({"until": st.none() | st.floats(2.0, 9.0)})),
)


@given(st.lists(ONE, max_size=12), st.sampled_from([(), ((5, 0), (50, 0))]))
@settings(deadline=None)
def test_no_sequence_changes_who_gets_which_traffic_or_restarts_the_evidence(commands, steps):
    run = Run(state(steps=steps))
    before = run.state.release
    for kind, fields in commands:
        run.do(kind, **fields)
    now = run.state.release
    for name in ("variants", "versions", "salt", "trial", "strategy", "began_at"):
        assert getattr(now, name) == getattr(before, name)
    kept = now.canary.model_copy(update={"overrides": before.canary.overrides})
    assert kept == before.canary, "step, its beginning and the rules"


@given(st.integers(0, 10), st.integers(1, 30), st.floats(0, 100))
@settings(deadline=None, max_examples=30)
def test_after_a_pause_the_decision_is_that_without_it(failed, summaries, now):
    stream = [summary(seq, (90, 0), (10, failed)) for seq in range(1, summaries + 1)]
    run = Run(state(steps=((5, 20), (50, 20))))
    expected = decide(after(stream, run.canary), run.canary, now)
    run.do("pause_judge")
    evidence = after(stream, run.canary)  # counted while it was paused
    assert decide(evidence, run.canary, now).kind == "hold"
    assert decide(evidence, run.canary.unpaused(), now) == expected
    run.do("resume_judge")
    assert decide(evidence, run.canary, now) == expected
