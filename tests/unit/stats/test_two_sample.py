import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.stats.two_sample import RATIOS, add_block, block_log_ratios, log_evidence, nothing_seen
from scipy.stats import hypergeom, nchypergeom_fisher

sizes = st.integers(1, 12)


@given(sizes, sizes, st.data())
def test_it_is_the_likelihood_ratio_of_fishers_noncentral_hypergeometric(candidate, stable, data):
    failed = data.draw(st.integers(0, candidate + stable))
    k = data.draw(st.integers(max(0, failed - stable), min(candidate, failed)))
    found = block_log_ratios(candidate, k, stable, failed - k)
    for ratio, log in zip(RATIOS, found, strict=True):
        central = hypergeom.logpmf(k, candidate + stable, candidate, failed)
        tilted = nchypergeom_fisher.logpmf(k, candidate + stable, candidate, failed, ratio)
        assert log == pytest.approx(tilted - central, abs=1e-6)


@given(sizes, sizes, st.data())
def test_its_expectation_is_one_without_a_difference_and_less_when_the_candidate_is_better(candidate, stable, data):
    failed = data.draw(st.integers(0, candidate + stable))
    better = data.draw(st.floats(0.05, 1.0))
    possible = range(max(0, failed - stable), min(candidate, failed) + 1)
    for odds in (1.0, better):
        # By its definition: scipy's own aborts the interpreter for some odds.
        weights = [math.comb(candidate, k) * math.comb(stable, failed - k) * odds**k for k in possible]
        chances = np.array(weights) / sum(weights)
        gains = np.exp([block_log_ratios(candidate, k, stable, failed - k) for k in possible])
        expected = (chances[:, None] * gains).sum(axis=0)
        assert (expected <= 1 + 1e-6).all()
        if odds == 1.0:
            assert expected == pytest.approx(1, abs=1e-6)


blocks = st.lists(
    st.tuples(sizes, sizes).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n[0]), st.integers(0, n[1]))),
    max_size=20,
)


def evidence(seen, **options):
    logs = nothing_seen()
    for (candidate, stable), candidate_failed, stable_failed in seen:
        logs = add_block(logs, candidate, candidate_failed, stable, stable_failed, **options)
    return log_evidence(logs)


@given(blocks, st.randoms())
def test_the_order_of_blocks_does_not_matter(seen, random):
    shuffled = list(seen)
    random.shuffle(shuffled)
    assert evidence(shuffled) == pytest.approx(evidence(seen), abs=1e-9)


@given(blocks)
def test_a_cap_only_lowers_the_evidence(seen):
    assert evidence(seen, limit=1.0) <= evidence(seen) + 1e-9


@given(st.integers(1, 30), st.integers(1, 30))
def test_an_outage_that_hits_both_arms_alike_is_no_evidence(candidate, stable):
    assert evidence([((candidate, stable), candidate, stable)] * 50) == 0.0


def test_three_failures_of_a_candidate_with_a_tenth_of_the_traffic_are_enough():
    logs = nothing_seen()
    for _ in range(3):
        logs = add_block(logs, 2, 1, 18, 0)
    assert log_evidence(logs) > math.log(100)


def test_equal_arms_are_told_apart_by_chance_no_more_often_than_promised():
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        logs = nothing_seen()
        for _ in range(200):
            candidate, stable = random.binomial(5, 0.05), random.binomial(45, 0.05)
            logs = add_block(logs, 5, int(candidate), 45, int(stable))
            if log_evidence(logs) > math.log(10):
                alarms += 1
                break
    # 10 % are promised at most; 400 draws of that give more than 60 once in 10,000 runs, and the draws are always the same.
    assert alarms <= 60
