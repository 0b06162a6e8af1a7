"""Latency is compared in the same seconds, whichever worker reports them, however late, and with small state."""

import numpy as np
import pytest
from modelmesh.control_plane.judge.decision import decide
from modelmesh.control_plane.judge.evidence import Evidence, take_in
from modelmesh.schemas.payloads.observations import Summary, VersionCounts, key_unit
from modelmesh.stats.log_histogram import add_value, bin_of

from ..releases import canary

RANDOM = np.random.default_rng(0)


def counts(requests, median, keys=()):
    found = VersionCounts(requests=requests, keyed=len(keys))
    for value in median * np.exp(0.3 * RANDOM.normal(size=requests)):
        add_value(found.latency, float(value))
    found.keyed_latency = {key_unit(key): bin_of(ms) for key, ms in keys}
    return found


def summary(seq, ms, *, worker="w", at=None, requests=(90, 10), keys=((), ())):
    return Summary(
        model="m", trial=2, worker=worker, epoch="e", seq=seq, at=float(seq if at is None else at),
        versions={
            version: counts(count, median, asked)
            for version, count, median, asked in zip(("1.0.0", "2.0.0"), requests, ms, keys, strict=True)
        },
    )  # fmt: skip


def seconds_until_rollback(summaries, release=None):
    evidence, release = Evidence(trial=2), release or canary().running_canary
    for number, one in enumerate(summaries, 1):
        take_in(evidence, one, release)
        if decide(evidence, release, one.at).kind == "rollback":
            return number
    return None


@pytest.mark.parametrize(("factor", "within"), [(3, 10), (5, 10)])
def test_a_candidate_that_is_much_slower_is_found_soon(factor, within):
    assert seconds_until_rollback(summary(seq, (10, 10 * factor)) for seq in range(1000, 1060)) <= within


def test_a_cold_start_does_not_count():
    cold = [summary(seq, (10, 100)) for seq in range(1000, 1004)]
    warm = [summary(seq, (10, 10)) for seq in range(1004, 1100)]
    assert seconds_until_rollback(cold + warm) is None


def test_without_warm_up_time_it_counts_at_once():
    release = canary(warm_up_seconds=0).running_canary
    slow = [summary(seq, (10, 50)) for seq in range(1000, 1060)]
    assert seconds_until_rollback(slow, release) <= 9


def test_a_difference_of_less_than_the_floor_does_not_matter():
    slow = [summary(seq, (0.3, 1.2)) for seq in range(1000, 1100)]
    assert seconds_until_rollback(slow) is None
    assert seconds_until_rollback(slow, canary(latency_floor_ms=0.1).running_canary) is not None


def test_the_reference_is_recent_when_the_load_falls():
    loaded = [summary(seq, (100, 100)) for seq in range(1000, 1300)]
    fell = [summary(seq, (10, 30)) for seq in range(1300, 1340)]
    assert seconds_until_rollback(loaded + fell) in range(300, 330)


def test_a_late_summary_joins_the_open_second_with_both_arms():
    evidence, release = Evidence(trial=2), canary().running_canary
    for seq in range(1000, 1010):
        take_in(evidence, summary(seq, (10, 10)), release)
    take_in(evidence, summary(1, (10, 10), worker="late", at=1003), release)
    assert sum(evidence.latency.stable.bins.values()) == 180
    assert sum(evidence.latency.candidate.bins.values()) == 20
    assert evidence.latency.clock == 9.0


def test_a_worker_whose_clock_is_ahead_does_not_stop_the_comparison():
    ahead = [summary(seq, (10, 50), worker="ahead", at=seq + 3600) for seq in range(1000, 1060)]
    others = [summary(seq, (10, 50)) for seq in range(1000, 1060)]
    mixed = [one for pair in zip(ahead, others, strict=True) for one in pair]
    assert seconds_until_rollback(mixed) <= 22


def test_one_heavy_user_is_one_request_a_second():
    def second(seq, worker):
        heavy = ("heavy", 200.0)
        return summary(
            seq, (10, 100), worker=worker, requests=(20, 20),
            keys=([(f"s{n}", 10.0) for n in range(20)], [heavy, *((f"c{n}", 10.0) for n in range(9))]),
        )  # fmt: skip

    assert seconds_until_rollback(second(seq, worker) for seq in range(1000, 1100) for worker in "abc") is None


def test_few_requests_are_pooled_over_more_seconds():
    slow = [summary(seq, (10, 50), requests=(3, 1)) for seq in range(1000, 1120)]
    found = seconds_until_rollback(slow)
    assert found is not None
    assert found > 25


def test_the_state_is_small():
    evidence, release = Evidence(trial=2), canary().running_canary
    for seq in range(1000, 1300):
        take_in(evidence, summary(seq, (10, 10), requests=(500, 500)), release)
    assert len(evidence.latency.model_dump_json()) < 20_000


def test_a_few_requests_with_a_key_do_not_hide_a_slow_candidate():
    probe = ((("probe", 10.0),), ())
    slow = [summary(seq, (10, 30), keys=probe) for seq in range(1000, 1060)]
    assert seconds_until_rollback(slow) <= 12


def test_a_worker_whose_clock_was_an_hour_ahead_and_has_gone_stops_nothing():
    ahead = [summary(seq, (10, 10), worker="ahead", at=seq + 3600) for seq in range(1000, 1003)]
    slow = [summary(seq, (10, 30)) for seq in range(1003, 1060)]
    assert seconds_until_rollback(ahead + slow) <= 20
