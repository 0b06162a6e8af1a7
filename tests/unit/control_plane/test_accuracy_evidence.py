"""True labels as evidence: on simulated streams with fixed seeds, delivered in any way."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.control_plane.judge.accuracy_evidence import AccuracyEvidence
from modelmesh.control_plane.judge.decision import decide, figures, limit_of
from modelmesh.control_plane.judge.evidence import Evidence, take_in
from modelmesh.control_plane.judge.judge import Judge
from modelmesh.schemas.payloads.label_reports import LABEL_UNITS, LabelledAnswer, LabelReport
from modelmesh.schemas.payloads.overrides import Override, Overrides
from modelmesh.schemas.settings import Settings

from ..releases import canary
from .test_evidence import summary

RUN = 100  # answers in a report


def report(number, answers, *, kind="right", trial=2, at=0.0):
    return LabelReport(model="m", trial=trial, number=number, at=at, kind=kind, answers=answers)


def stream(seed, count, losses, *, share=0.3, keys=0, generation=2):
    """Answers, each assigned at random (by key, if there are `keys`); `losses` draws a loss for stable and for the candidate."""
    draw = random.Random(seed)
    arm_of = [draw.random() < share for _ in range(keys)]
    for _ in range(count):
        unit = draw.randrange(keys) if keys else None
        candidate = arm_of[unit] if unit is not None else draw.random() < share
        yield LabelledAnswer(generation, candidate, losses(draw, candidate, unit), unit)


def right_with(stable, candidate):
    return lambda draw, ours, unit: float(draw.random() >= (candidate if ours else stable))


def scaled(stable, candidate):
    """Absolute errors with a heavy tail."""
    return lambda draw, ours, unit: (candidate if ours else stable) * abs(draw.gauss(0, 1)) ** 2


def highest(answers, kind="right"):
    """The highest evidence over a stream, and the evidence at its end."""
    answers, evidence, top = list(answers), AccuracyEvidence(), 0.0
    for number, start in enumerate(range(0, len(answers), RUN), 1):
        evidence.take_in(report(number, answers[start : start + RUN], kind=kind, at=60.0 * number))
        top = max(top, evidence.log)
    return top, evidence


def obstinate(draw, ours, unit):
    """Of every tenth user all answers are wrong, of the others few: whichever version answers."""
    return float(draw.random() < (0.95 if unit % 10 == 0 else 0.02))


@pytest.mark.parametrize(
    ("losses", "kind", "keys"),
    [
        (right_with(0.9, 0.9), "right", 0),
        (right_with(0.6, 0.62), "right", 0),
        (obstinate, "right", 400),
        (scaled(1.0, 1.0), "error", 0),
    ],
)
def test_equal_versions_cross_a_limit_at_most_as_often_as_it_says(losses, kind, keys):
    crossed = sum(
        highest(stream(seed, 1500, losses, keys=keys), kind)[0] >= limit_of("accuracy", 1.0) for seed in range(60)
    )
    # The limit is 1 in 10 here; 13 of 60 would be chance in 1 %.
    assert crossed <= 12


@pytest.mark.parametrize(
    ("losses", "kind", "keys"),
    [
        (right_with(0.9, 0.8), "right", 0),
        (right_with(0.9, 0.8), "right", 6000),
        (scaled(1.0, 2.0), "error", 0),
        (lambda draw, ours, unit: draw.gauss(0, 1) ** 2 + (50 if ours and draw.random() < 0.1 else 0), "error", 0),
    ],
)
def test_a_candidate_that_is_worse_is_found(losses, kind, keys):
    found = sum(
        highest(stream(seed, 4000, losses, keys=keys), kind)[0] >= limit_of("accuracy", 0.01) for seed in range(10)
    )
    assert found >= 9


def test_a_share_that_changes_with_the_hour_is_no_evidence():
    """Hard hours with half of the requests at the candidate, easy ones with a twentieth: labels come mixed."""
    hard = [*stream(1, 3000, right_with(0.5, 0.5), share=0.5, generation=3)]
    easy = [*stream(2, 3000, right_with(0.99, 0.99), share=0.05, generation=2)]
    mixed = [one for pair in zip(hard, easy, strict=True) for one in pair]
    assert highest(mixed)[0] < limit_of("accuracy", 0.2)
    confused = [one._replace(generation=2) for one in mixed]
    assert highest(confused)[0] > limit_of("accuracy", 0.01), "the test would see it"


def test_one_user_counts_once_in_a_window():
    answers = [LabelledAnswer(2, candidate, float(candidate), 7 + candidate) for candidate in (True, False) * 2000]
    _, evidence = highest(answers)
    assert evidence.keys.counted == 2
    assert evidence.total.candidate.counted == 0


reports = st.lists(
    st.lists(
        st.tuples(st.integers(2, 5), st.booleans(), st.sampled_from([0.0, 1.0]), st.sampled_from([None, 1, 2])),
        max_size=30,
    ),
    max_size=8,
)


@given(reports, st.data())
def test_reports_that_come_again_change_nothing(batches, data):
    once = [report(3 * number, [LabelledAnswer(*one) for one in batch]) for number, batch in enumerate(batches, 1)]
    repeated = []
    for number, one in enumerate(once, 1):
        repeated += [one, *once[max(0, number - data.draw(st.integers(0, 3))) : number]]
    found = [AccuracyEvidence(), AccuracyEvidence()]
    for evidence, delivered in zip(found, (once, repeated), strict=True):
        for one in delivered:
            evidence.take_in(one)
            evidence = AccuracyEvidence.model_validate_json(evidence.model_dump_json())
    assert found[0] == found[1]


def test_the_state_is_bounded():
    draw = random.Random(0)
    answers = [
        LabelledAnswer(number, draw.random() < 0.5, draw.random() * 1e300, draw.randrange(LABEL_UNITS)) for number in range(5000)
    ]  # fmt: skip
    _, evidence = highest(answers, "error")
    assert len(evidence.model_dump_json()) < 20_000


def judged(answers, kind="right", **rules):
    evidence, release = Evidence(trial=2), canary(**rules).running_canary
    for number, start in enumerate(range(0, len(answers), RUN), 1):
        take_in(evidence, report(number, answers[start : start + RUN], kind=kind), release)
    return evidence, release


WORSE = list(stream(0, 3000, right_with(0.9, 0.75)))


def test_the_reason_says_how_often_each_is_right():
    evidence, release = judged(WORSE)
    decided = decide(evidence, release, 0.0)
    assert decided.kind == "rollback"
    total = evidence.accuracy.total
    right = total.candidate.counted - total.candidate.hits[0]
    share = 100 * right / total.candidate.counted
    says = f"it is right less often than stable: {right} of {total.candidate.counted} ({share:.1f} %) against "
    assert decided.reason.startswith(says)
    assert "(unit: labelled requests)" in decided.reason
    compared = figures(evidence, release)["comparisons"]["accuracy"]
    assert compared["evidence"] >= compared["limit"] == pytest.approx(1000)
    assert compared["versions"]["2.0.0"] == {
        "labelled": total.candidate.counted,
        "accuracy": pytest.approx(share / 100),
    }


def test_larger_errors_are_said_in_words():
    evidence, release = judged(list(stream(0, 2000, scaled(1.0, 3.0))), kind="error")
    assert "its errors are larger than stable's: above the median of both in" in decide(evidence, release, 0.0).reason


def test_reported_only_it_is_one_event():
    judge, kinds = Judge(Settings(), {}, {}, {}), []
    for number, start in enumerate(range(0, len(WORSE), RUN), 1):
        one = report(number, WORSE[start : start + RUN])
        kinds += [(news.kind, news.event_id) for news in judge.take_in(one, canary(on_accuracy="report"), 1.0)]
    assert kinds == [("canary.warned", "m.2.accuracy")]


def test_labels_of_another_trial_and_of_no_canary_do_not_count():
    judge, release = Judge(Settings(), {}, {}, {}), canary()
    assert judge.take_in(report(1, WORSE[:50], trial=1), release, 1.0) == []
    assert judge.evidence(release).accuracy == AccuracyEvidence()
    assert "accuracy" not in judge.release_document(release, 1.0)["comparisons"]


def test_a_step_waits_until_labels_show_the_margin():
    rules = {"steps": ((5, 0), (50, 0)), "min_requests": 1, "failure_margin": None, "accuracy_margin": 0.05}
    few, release = judged(list(stream(3, 40, right_with(0.95, 0.95))), **rules)
    take_in(few, summary(1, (100, 0), (50, 0)), release)
    held = decide(few, release, 10.0)
    assert (held.kind, "not enough labels yet for a step" in held.reason) == ("hold", True)
    many, release = judged(list(stream(3, 3000, right_with(0.95, 0.95))), **rules)
    take_in(many, summary(1, (100, 0), (50, 0)), release)
    assert decide(many, release, 10.0).kind == "step"
    none, release = judged([], **rules)
    take_in(none, summary(1, (100, 0), (50, 0)), release)
    assert "after 0 of the candidate's" in decide(none, release, 10.0).reason


def test_a_person_can_exclude_labels_from_the_decision():
    evidence, release = judged(WORSE)
    override = Override(actor="kim", reason="only alarms are checked", at=0.0)
    plan = release.plan.model_copy(update={"overrides": Overrides(excluded={"accuracy": override})})
    excluded = release._replace(plan=plan)
    assert decide(evidence, excluded, 0.0).kind == "hold"
    assert "only alarms are checked" in figures(evidence, excluded)["comparisons"]["accuracy"]["excluded"]
