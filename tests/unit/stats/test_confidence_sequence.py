"""Confidence sequences hold at every look together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.stats.confidence_sequence import difference_interval, log_evidence, rate_interval, share_of
from modelmesh.stats.intervals import wilson

counts = st.integers(0, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
alphas = st.floats(1e-6, 0.5)


@given(counts, alphas)
@settings(deadline=None, max_examples=25)
def test_the_interval_has_the_estimate_and_exactly_the_rates_with_little_evidence_against_them(arm, alpha):
    failed, requests = arm
    rate, low, high = rate_interval(failed, requests, alpha)
    assert 0 <= low <= rate <= high <= 1
    if requests and high - low > 4e-6:
        for inside in (low + 1e-6, high - 1e-6):
            assert log_evidence(failed, requests, inside) < -np.log(alpha) + 1e-6
        for outside in (low - 1e-6, high + 1e-6):
            if 0 < outside < 1:
                assert log_evidence(failed, requests, outside) >= -np.log(alpha) - 1e-6


@given(counts, counts, alphas)
@settings(deadline=None, max_examples=25)
def test_the_difference_is_antisymmetric_and_narrower_for_a_larger_alpha(one, other, alpha):
    found, mirrored = difference_interval(one, other, alpha), difference_interval(other, one, alpha)
    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low))
    narrower = difference_interval(one, other, min(0.9, 1.5 * alpha))
    assert found.low <= narrower.low + 1e-9
    assert found.high >= narrower.high - 1e-9


def test_the_parts_of_alpha_add_up():
    assert sum(share_of(0.05, number) for number in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)


def test_it_narrows_and_costs_at_most_twice_the_width_of_a_fixed_interval():
    for failed, requests in ((0, 200), (10, 1000), (100, 10_000), (10_000, 100_000)):
        _, low, high = rate_interval(failed, requests, 0.05)
        fixed = wilson(failed, requests)
        assert high - low < 2.6 * (fixed[1] - fixed[0]), (failed, requests)


# (candidate's rate, stable's rate): constant, and waves that both have.
@pytest.mark.parametrize("rates", [(0.01, 0.01), (0.05, 0.01), (0.3, 0.3), "outage", "wave"])
def test_at_most_alpha_of_the_paths_ever_leave_the_bounds(rates):
    random, alpha, paths, looks = np.random.default_rng(1), 0.1, 100, np.unique(np.geomspace(5, 4000, 40).astype(int))
    missed = 0
    for _ in range(paths):
        is_candidate = random.random(4000) < 0.2
        at = np.arange(4000)
        if rates == "outage":
            ours = theirs = np.where((at > 500) & (at < 700), 0.9, 0.01)
        elif rates == "wave":
            theirs = 0.05 + 0.04 * np.sin(at / 300)
            ours = 2 * theirs
        else:
            ours, theirs = (np.full(4000, rate) for rate in rates)
        chances = np.where(is_candidate, ours, theirs)
        failed = random.random(4000) < chances
        for look in looks:
            arm = is_candidate[:look]
            if arm.all() or not arm.any():
                continue
            # The truth is outside the difference's bounds only if a rate is outside its own.
            arms = ((failed[:look][one], chances[:look][one].mean()) for one in (arm, ~arm))
            if any(log_evidence(int(hits.sum()), len(hits), rate) >= -np.log(alpha / 2) for hits, rate in arms):
                missed += 1
                break
    assert missed <= alpha * paths
