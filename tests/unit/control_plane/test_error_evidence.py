"""Errors are compared between routing keys where there are any: one heavy user must not decide."""

import pytest
from modelmesh.control_plane.judge.decision import figures, limit_of
from modelmesh.control_plane.judge.error_evidence import KEYS_WINDOW_SECONDS
from modelmesh.control_plane.judge.evidence import Evidence, take_in
from modelmesh.schemas.payloads.observations import Summary, VersionCounts

from ..releases import canary

SHARES = {"1.0.0": 0.9, "2.0.0": 0.1}


def keyed(seq, stable=(), candidate=(), *, requests=100, at=None, worker="w", shares=SHARES):
    """A summary of requests with routing keys; `stable` and `candidate` are the hashes of the keys that failed, each once."""
    versions = {
        version: VersionCounts(
            requests=requests,
            keyed=requests,
            failed=len(units),
            keyed_failed=len(units),
            failed_units=sorted(set(units)),
        )
        for version, units in (("1.0.0", stable), ("2.0.0", candidate))
    }
    return Summary(
        model="m", trial=2, worker=worker, epoch="e", seq=seq, at=float(seq if at is None else at),
        versions=versions, shares=shares,
    )  # fmt: skip


def after(summaries):
    evidence, release = Evidence(trial=2), canary().running_canary
    for summary in summaries:
        take_in(evidence, summary, release)
    return evidence


def test_one_user_who_always_fails_is_one_observation():
    evidence = after([keyed(seq, candidate=[7] * 20) for seq in range(1, 500)])
    assert evidence.errors.log < 3.0
    assert evidence.errors.keys.candidate == 1


def test_a_user_who_fails_in_several_workers_counts_once():
    evidence = after([keyed(1, candidate=[7], worker=worker) for worker in "abcdef"])
    assert evidence.errors.keys.candidate == 1


def test_several_users_who_fail_with_the_candidate_decide():
    evidence = after([keyed(seq, candidate=[seq]) for seq in range(1, 6)])
    assert evidence.errors.log > limit_of("errors", 0.01)
    units = figures(evidence, canary().running_canary)["comparisons"]["errors"]["unit"]
    assert units == "routing keys that failed: 5 of 5 the candidate's"


def test_a_hash_that_failed_in_both_arms_at_once_counts_for_neither():
    assert after([keyed(1, stable=[3], candidate=[3])]).errors.log == pytest.approx(0.0)


def test_a_candidate_that_turns_bad_later_is_found_in_another_window():
    """Also if each of its users failed once before, and no other key fails."""
    users = range(300)
    good = [keyed(1 + seq, **{"candidate" if seq % 10 == 0 else "stable": [seq]}) for seq in users]
    assert after(good).errors.log < limit_of("errors", 0.01)
    bad = [keyed(1000 + seq, candidate=[10 * seq], at=2 * KEYS_WINDOW_SECONDS + seq) for seq in range(1, 10)]
    assert after(good + bad).errors.log > limit_of("errors", 0.01)


def test_what_a_window_that_has_ended_showed_does_not_hold_a_step_back_for_ever():
    unlucky = [keyed(seq, candidate=[seq]) for seq in range(1, 4)]
    held = after(unlucky).errors
    assert held.log > 3
    assert held.suspicion > 3
    later = [keyed(100 + seq, stable=[seq], at=2 * KEYS_WINDOW_SECONDS + seq) for seq in range(20, 40)]
    calm = after(unlucky + later).errors
    assert calm.log > 3
    assert calm.suspicion < 0


def test_without_known_shares_keys_are_no_evidence():
    assert after([keyed(seq, candidate=[seq], shares={}) for seq in range(1, 50)]).errors.log == pytest.approx(0.0)


def test_the_state_is_small():
    evidence = after([keyed(seq, stable=[seq % 1024], candidate=[(7 * seq) % 1024]) for seq in range(3000)])
    assert len(evidence.errors.model_dump_json()) < 10_000
