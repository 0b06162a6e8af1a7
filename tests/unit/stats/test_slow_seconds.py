"""A stall is one observation, lasting slowness many; while neither arm is slower, evidence stays low."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.stats.slow_seconds import (
    GOES_ON,
    LONGEST_RUN,
    RUN,
    Progress,
    least_slow,
    log_evidence,
    next_bucket,
    slow_probability,
)
from scipy.stats import binom, hypergeom

LIMIT = math.log(500)


def after(bits, begin=None):
    progress = begin or Progress()
    for candidate, stable in bits:
        progress = next_bucket(progress, candidate, stable)
    return progress


@given(st.integers(1, 300), st.sampled_from([0.5, 0.05, 0.01]))
def test_the_least_slow_count_has_at_most_the_chance(requests, share):
    least = least_slow(requests, share)
    assert least >= 2
    assert binom.sf(least - 1, requests, share) <= 0.1 + 1e-9
    assert least == 2 or binom.sf(least - 2, requests, share) > 0.1


@given(st.data())
def test_the_probability_of_a_slow_sample_is_hypergeometric(data):
    requests = data.draw(st.integers(1, 200))
    above, sample = data.draw(st.integers(0, requests)), data.draw(st.integers(1, requests))
    expected = hypergeom.sf(least_slow(sample, 0.05) - 1, requests, above, sample)
    assert slow_probability(requests, above, sample, 0.05) == pytest.approx(expected, abs=1e-9)


def test_lasting_slowness_decides_within_seconds_and_a_stall_does_not():
    assert log_evidence(after([(1, 0)] * 7)) > LIMIT
    assert log_evidence(after([(1, 0)] * RUN)) < math.log(2)
    # A stall of three seconds every twenty, for an hour, of either arm in turn.
    stalls = ([(1, 0)] * RUN + [(0, 0)] * 17 + [(0, 1)] * RUN + [(0, 0)] * 17) * 90
    assert max(log_evidence(after(stalls[:end])) for end in range(0, len(stalls), 7)) < LIMIT


def test_slowness_of_both_is_no_evidence():
    assert log_evidence(after([(1, 1)] * 100)) == pytest.approx(0.0)


def test_what_does_not_count_is_only_part_of_a_run():
    warm_up = Progress()
    for _ in range(RUN):
        warm_up = next_bucket(warm_up, 1, 0, counts=False)
    assert log_evidence(warm_up) == pytest.approx(0.0)
    assert warm_up.run == RUN
    assert log_evidence(after([(1, 0)] * 4, warm_up)) > LIMIT


@given(st.floats(0, LONGEST_RUN), st.floats(0, 0.5), st.integers(0, 2))
def test_the_expected_factor_is_at_most_one_under_the_assumptions(run, own, skip):
    """Equal and independent arms; only one is slow with a probability of at most GOES_ON."""
    own = min(own, (1 - math.sqrt(1 - 4 * GOES_ON)) / 2)
    before = Progress(run=run, skip=float(skip))
    expected = 0.0
    for candidate, stable in product((0, 1), repeat=2):
        probability = (own if candidate else 1 - own) * (own if stable else 1 - own)
        expected += probability * math.exp(log_evidence(next_bucket(before, candidate, stable)))
    assert expected <= 1 + 1e-9


def test_independent_slow_seconds_reach_the_limit_no_more_often_than_promised():
    random = np.random.default_rng(0)
    reached = 0
    for _ in range(300):
        progress, highest = Progress(), 0.0
        for candidate, stable in random.random((600, 2)) < 0.1:
            progress = next_bucket(progress, float(candidate), float(stable))
            highest = max(highest, log_evidence(progress))
        reached += highest >= math.log(20)
    assert reached <= 25  # one in twenty is allowed: 15; more than 25 has a probability of one in a hundred
