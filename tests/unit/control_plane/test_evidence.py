"""The evidence from summaries, in any order and delivered any number of times."""

import random

from hypothesis import given
from hypothesis import strategies as st
from modelmesh.control_plane.judge.decision import decide, figures, limit_of
from modelmesh.control_plane.judge.evidence import Evidence, take_in
from modelmesh.schemas.payloads.observations import Summary, VersionCounts
from modelmesh.stats.log_histogram import add_value

from .. import releases


def canary(*args, **options):
    return releases.canary(*args, **options).running_canary


def summary(
    seq, stable=(0, 0), candidate=(0, 0), *, worker="w", epoch="e", trial=2, at=None, ms=(2.0, 2.0), outputs=({}, {})
):
    """A summary of requests and failures of both versions, by default one a second."""
    at = float(seq) if at is None else at
    versions = {}
    for version, (requests, failed), latency, answers in zip(
        ("1.0.0", "2.0.0"), (stable, candidate), ms, outputs, strict=True
    ):
        counts = VersionCounts(requests=requests, failed=failed, outputs=answers)
        for number in range(requests):
            add_value(counts.latency, latency * (1 + (number % 10) / 20))
        versions[version] = counts
    return Summary(model="m", trial=trial, worker=worker, epoch=epoch, seq=seq, at=at, versions=versions)


def after(summaries, release=None):
    evidence = Evidence(trial=2)
    for one in summaries:
        take_in(evidence, one, release or canary())
    return evidence


pairs = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (max(pair), min(pair)))
streams = st.lists(st.tuples(pairs, pairs), max_size=15)


@given(streams, st.data())
def test_repeated_summaries_change_nothing(stream, data):
    once = [summary(seq, *counts) for seq, counts in enumerate(stream, 1)]
    repeated = []
    for number, one in enumerate(once, 1):
        repeated.append(one)
        # As after a crash: the last few are delivered again.
        repeated += once[max(0, number - data.draw(st.integers(0, 3))) : number]
    assert after(repeated) == after(once)


@given(streams, st.randoms())
def test_totals_are_the_same_in_any_order_and_any_split(stream, shuffler):
    one_worker = [summary(seq, *counts) for seq, counts in enumerate(stream, 1)]
    many = [summary(1, *counts, worker=f"w{number}") for number, counts in enumerate(stream)]
    shuffler.shuffle(many)
    assert after(many).totals == after(one_worker).totals


def test_a_restarted_worker_counts_from_one_again():
    evidence = after([summary(5, (10, 0)), summary(1, (10, 0), epoch="next life")])
    assert evidence.totals["1.0.0"].requests == 20


def test_evidence_of_another_trial_does_not_count():
    evidence = after([summary(1, (90, 0), (10, 10), trial=1)])
    assert evidence.totals == {}
    assert decide(evidence, canary(), 0.0).kind == "hold"


def test_a_candidate_that_starts_to_fail_is_rolled_back_after_a_few_failures():
    good = [summary(seq, (90, 0), (10, 0)) for seq in range(1, 200)]
    evidence = after(good)
    assert decide(evidence, canary(), 0.0).kind == "hold"
    failures = 0
    for seq in range(200, 230):
        take_in(evidence, summary(seq, (18, 0), (2, 1)), canary())
        failures += 1
        decision = decide(evidence, canary(), 0.0)
        if decision.kind == "rollback":
            break
    assert decision.kind == "rollback"
    assert failures <= 5
    assert "fails more often than stable" in decision.reason
    assert decision.evidence["comparisons"]["errors"]["evidence"] >= decision.evidence["comparisons"]["errors"]["limit"]


def test_an_outage_of_both_versions_is_no_reason_for_a_rollback():
    evidence = after([summary(seq, (90, 90), (10, 10)) for seq in range(1, 100)])
    assert decide(evidence, canary(), 0.0).kind == "hold"


def test_a_slow_candidate_is_rolled_back_but_not_by_one_stall():
    release = canary()
    normal = [summary(seq, (90, 0), (10, 0)) for seq in range(1, 20)]
    stall = [summary(seq, (90, 0), (60, 0), ms=(2.0, 500.0)) for seq in range(20, 23)]
    after_it = [summary(seq, (90, 0), (10, 0)) for seq in range(23, 30)]
    evidence = after([*normal, *stall, *after_it])
    assert decide(evidence, release, 0.0).kind == "hold"
    for seq in range(30, 50):
        take_in(evidence, summary(seq, (90, 0), (10, 0), ms=(2.0, 12.0)), release)
        decision = decide(evidence, release, 0.0)
        if decision.kind == "rollback":
            break
    assert "times stable's" in decision.reason
    assert "against 2.9 ms, slower alone in 11 of 34 seconds" in decision.reason
    assert seq <= 40


def test_within_the_tolerance_it_may_be_slower_and_null_judges_no_latency():
    slower = [summary(seq, (90, 0), (10, 0), ms=(2.0, 2.6)) for seq in range(1, 200)]
    assert decide(after(slower), canary(), 0.0).kind == "hold"
    much_slower = [summary(seq, (90, 0), (10, 0), ms=(2.0, 20.0)) for seq in range(1, 200)]
    assert decide(after(much_slower), canary(), 0.0).kind == "rollback"
    unjudged = canary(latency_tolerance=None)
    assert decide(after(much_slower, unjudged), unjudged, 0.0).kind == "hold"


def test_the_threshold_applies_to_the_window_only():
    release = canary(auto_rollback_threshold=0.2, window_seconds=10, min_requests=20, alpha=1e-12)
    old = [summary(1, (0, 0), (20, 19), at=0.0)]
    by_chance = [summary(1, (0, 0), (20, 7), at=0.0)]
    assert decide(after(by_chance, release), release, 0.0).kind == "hold"
    assert decide(after(old, release), release, 0.0).kind == "rollback"
    past = [*old, summary(2, (0, 0), (40, 4), at=60.0)]
    assert decide(after(past, release), release, 60.0).kind == "hold"
    few = [summary(1, (0, 0), (19, 19), at=0.0)]
    assert decide(after(few, release), release, 0.0).kind == "hold"


def test_differing_answers_are_reported_or_cause_a_rollback_by_the_rules():
    same = [
        summary(seq, (90, 0), (10, 0), outputs=({"yes": 45, "no": 45}, {"yes": 5, "no": 5})) for seq in range(1, 100)
    ]
    other = [summary(seq, (90, 0), (10, 0), outputs=({"yes": 45, "no": 45}, {"yes": 10})) for seq in range(1, 20)]
    for rule, kind in (("report", "hold"), ("rollback", "rollback")):
        release = canary(on_output_drift=rule)
        assert decide(after(same, release), release, 0.0).kind == "hold"
        assert decide(after(other, release), release, 0.0).kind == kind
    assert after(other).outputs_log > limit_of("outputs", 0.01)


def test_steps_hold_then_rise_then_promote():
    release = canary(0.05, steps=((5, 10), (50, 10)), min_requests=20, failure_margin=None)
    evidence = after([summary(1, (190, 0), (10, 0))], release)
    assert "holds for" in decide(evidence, release, 5.0).reason
    assert "10 of 20 requests" in decide(evidence, release, 11.0).reason
    take_in(evidence, summary(2, (190, 0), (10, 0)), release)
    decision = decide(evidence, release, 11.0)
    assert (decision.kind, decision.percentage) == ("step", 50)
    second = canary(0.5, steps=((5, 10), (50, 10)), min_requests=20, failure_margin=None, generation=3, step=1)
    assert decide(evidence, second, 100.0).kind == "hold", "the requests of the previous step do not count for this one"
    take_in(evidence, summary(3, (100, 0), (100, 0)), second)
    assert decide(evidence, second, 100.0).kind == "promote"


def test_a_step_needs_evidence_that_failures_are_within_the_margin():
    release = canary(0.05, steps=((5, 0), (50, 0)), min_requests=20, failure_margin=0.05)
    evidence = after([summary(1, (950, 0), (30, 0))], release)
    reason = decide(evidence, release, 10.0).reason
    assert "not enough evidence yet for a step: after 30 requests" in reason
    assert "may be up to 8.3% above stable's, and the margin is 5.0%" in reason
    take_in(evidence, summary(2, (950, 0), (30, 0)), release)
    assert decide(evidence, release, 10.0).kind == "step"


def test_a_suspicious_candidate_gets_no_larger_share():
    release = canary(0.05, steps=((5, 0), (50, 0)), min_requests=1)
    evidence = after([summary(1, (95, 0), (5, 0)), summary(2, (30, 0), (2, 2))], release)
    strength = evidence.errors.log
    assert 1.6 < strength < limit_of("errors", 0.01)
    assert "gets no more for now" in decide(evidence, release, 10.0).reason


def test_without_a_canary_nothing_is_decided():
    evidence = Evidence(trial=1)
    take_in(evidence, summary(1, (10, 0), trial=1), releases.full().running_canary)
    assert releases.full().running_canary is None
    assert decide(evidence, canary(), 0.0).kind == "hold", "the previous trial is no evidence"
    assert evidence.totals["1.0.0"].requests == 10


def test_equal_versions_are_rolled_back_no_more_often_than_alpha():
    generator = random.Random(0)

    def counts(requests):
        return requests, sum(generator.random() < 0.05 for _ in range(requests))

    release, rolled_back = canary(alpha=0.1), 0
    for _ in range(60):
        evidence = Evidence(trial=2)
        for seq in range(1, 150):
            mixed = [0, 0]
            for _ in range(20):
                mixed[generator.random() < 0.1] += 1
            take_in(evidence, summary(seq, counts(mixed[0]), counts(mixed[1])), release)
            if decide(evidence, release, 0.0).kind == "rollback":
                rolled_back += 1
                break
    # One in ten is allowed; more than 14 of 60 has a probability of one in a thousand. The draws are constant.
    assert rolled_back <= 14


def test_the_figures_are_complete_and_evidence_survives_json():
    evidence = after([summary(1, (90, 0), (10, 10))])
    found = figures(evidence, canary())
    assert found["versions"]["2.0.0"]["failed"] == 10
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence
