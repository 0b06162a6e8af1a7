"""The test of a rate against a tolerance, looked at after each observation, and the interval."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.stats.disagreement import log_evidence, rate_interval

TOLERANCE, LENGTH = 0.05, 600


def boundary(limit, tolerance, length):
    """For each number of observations, the fewest hits at which the evidence reaches the limit."""
    found, hits = [], 0
    for observations in range(1, length + 1):
        while hits <= observations and log_evidence(observations, hits, tolerance) < limit:
            hits += 1
        found.append(hits)
    return np.array(found)


def crossing(rate, alpha, trials=2000, tolerance=TOLERANCE):
    """For each trial the number of observations at which the test decides; LENGTH + 1 if it never does."""
    hits = np.random.default_rng(0).random((trials, LENGTH)) < rate
    above = hits.cumsum(axis=1) >= boundary(-math.log(alpha), tolerance, LENGTH)
    return np.where(above.any(axis=1), above.argmax(axis=1) + 1, LENGTH + 1)


@pytest.mark.parametrize("rate", [0.0, 0.02, TOLERANCE])
def test_a_rate_within_the_tolerance_is_seldom_ever_found(rate):
    assert (crossing(rate, alpha=0.05) <= LENGTH).mean() <= 0.05


def test_twenty_percent_is_found_within_300():
    found = crossing(0.2, alpha=0.001)
    assert (found <= 300).mean() > 0.999
    assert np.median(found) < 100


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 0.99))
def test_more_hits_are_more_evidence_and_all_is_a_number(observations, share, tolerance):
    hits = int(observations * share)
    less = log_evidence(observations, hits, tolerance)
    assert not math.isnan(less)
    if hits < observations:
        assert log_evidence(observations, hits + 1, tolerance) >= less - 1e-6


def test_with_a_tolerance_of_zero_one_hit_decides():
    assert log_evidence(10, 0, 0.0) < 0
    assert log_evidence(10, 1, 0.0) == math.inf


def test_the_interval_contains_the_rate_at_all_times():
    assert rate_interval(0, 0) == (0.0, 1.0)
    low, high = rate_interval(300, 60)
    assert 0.1 < low < 0.2 < high < 0.3
    assert rate_interval(50, 0)[0] == 0.0
    assert rate_interval(50, 50)[1] == 1.0
