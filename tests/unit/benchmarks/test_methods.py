"""The methods beside the judge: their published boundaries and rules."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from benchmarks.simulations.judged.traffic import Requests, Traffic, requests
from benchmarks.simulations.methods.argo_rollouts import STEP, ArgoRollouts
from benchmarks.simulations.methods.flagger import TUTORIAL, Flagger
from benchmarks.simulations.methods.group_sequential import GroupSequential, boundaries, spent
from benchmarks.simulations.methods.kayenta import Kayenta, is_high
from benchmarks.simulations.methods.msprt import Msprt, log_ratio
from benchmarks.simulations.methods.table import METHODS


def trial(seed=0, **traffic) -> Requests:
    return requests(Traffic(**traffic), np.random.default_rng(seed))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_requests_are_no_reason_unless_the_documentation_says_so(method):
    empty = trial(rate=0, seconds=60)
    assert method.rollback_at(empty, 60) is None


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_each_finds_a_candidate_that_always_fails_once_it_may_decide(method):
    found = trial(candidate_fails=1.0, seconds=1800)
    assert method.rollback_at(found, 1800) is not None


def test_the_obrien_fleming_boundaries_are_those_of_the_tables():
    # Five looks, one-sided 0.025: Jennison, Turnbull, "Group Sequential Methods", 2000, and R's gsDesign (sfLDOF).
    assert boundaries(5, 0.025) == pytest.approx((4.877, 3.357, 2.680, 2.290, 2.031), abs=0.005)


def test_all_of_alpha_is_spent_at_the_end_and_none_is_spent_before_it_begins():
    assert spent(0.01, 1.0) == pytest.approx(0.01)
    assert spent(0.01, 0.05) < 1e-12
    assert all(a > b for a, b in zip(boundaries(60, 0.01)[10:], boundaries(60, 0.01)[11:], strict=False))


def test_the_first_of_many_looks_can_decide():
    first = boundaries(60, 0.01)[0]
    assert first == pytest.approx(math.sqrt(60) * 2.576, rel=0.02)
    assert GroupSequential().rollback_at(trial(candidate_fails=1.0, seconds=60), 60) == 10


def test_the_mixture_is_the_integral_that_it_stands_for():
    variance, prior, difference = 0.0004, 0.02, 0.05
    effects = np.linspace(-0.3, 0.3, 20_001)
    weights = np.exp(-(effects**2) / (2 * prior**2)) / (prior * math.sqrt(2 * math.pi))
    ratios = np.exp((2 * difference * effects - effects**2) / (2 * variance))
    expected = math.log(np.sum(weights * ratios) * (effects[1] - effects[0]))
    assert log_ratio(np.array([difference]), np.array([variance]), prior)[0] == pytest.approx(expected, abs=1e-6)


def test_the_msprt_sees_latency_and_the_group_sequential_test_does_not():
    slow = trial(slower=3.0, seconds=60)
    assert Msprt().rollback_at(slow, 60) is not None
    assert GroupSequential().rollback_at(slow, 60) is None


def test_a_better_candidate_is_never_rolled_back():
    better = trial(stable_fails=0.2, slower=0.3, seconds=120)
    assert all(method.rollback_at(better, 120) is None for method in (Msprt(), GroupSequential(), Kayenta(interval=60)))


def test_flagger_rolls_back_at_the_tenth_failed_check():
    bad = trial(candidate_fails=0.1, seconds=1200)
    assert Flagger().rollback_at(bad, 1200) == 600
    assert TUTORIAL.rollback_at(bad, 1200) == 100
    assert Flagger().rollback_at(bad, 599) is None


def test_flagger_sees_latency_only_above_half_a_second():
    assert TUTORIAL.rollback_at(trial(slower=5.0, seconds=300), 300) is None
    assert TUTORIAL.rollback_at(trial(slower=50.0, seconds=300), 300) == 100


def test_argo_fails_with_more_than_the_limit_of_failed_measurements():
    bad = trial(candidate_fails=0.2, seconds=1800)
    assert STEP.rollback_at(bad, 1800) == 60
    assert ArgoRollouts().rollback_at(bad, 1800) == 1200
    assert ArgoRollouts(failure_limit=10).rollback_at(bad, 1800) is None


def test_kayenta_asks_for_more_than_the_tolerance():
    random = np.random.default_rng(1)
    stable = random.normal(10, 1, 60)
    assert is_high(stable + 5, random.normal(10, 1, 60))
    assert not is_high(random.normal(10, 1, 60), stable)
    assert not is_high(stable[:3] + 5, stable[:3])
    assert mannwhitneyu(stable + 5, stable).pvalue < 0.01


def test_kayenta_judges_after_its_interval():
    assert Kayenta().rollback_at(trial(slower=3.0, seconds=600), 600) == 600
    assert Kayenta().rollback_at(trial(slower=3.0, seconds=599), 599) is None
