import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.stats.drift import (
    EMPTY,
    compare_feature,
    evidence_of,
    ks,
    ks_p,
    next_alarm_level,
    psi,
    psi_p,
)
from scipy.integrate import quad
from scipy.stats import chi2_contingency, ks_2samp

counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=30).filter(
    lambda pairs: sum(a for a, _ in pairs) and sum(b for _, b in pairs)
)


@given(counts)
def test_psi_is_its_formula(pairs):
    a, b = (np.array(side, float) for side in zip(*pairs, strict=True))
    expected = 0.0
    for x, y in zip(a, b, strict=True):
        if x or y:
            p, q = max(x, EMPTY) / a.sum(), max(y, EMPTY) / b.sum()
            expected += (p - q) * np.log(p / q)
    assert psi(a, b) == pytest.approx(expected, abs=1e-9)
    assert psi(a, b) == pytest.approx(psi(b, a), abs=1e-9)
    assert psi(a, a) == 0


@given(st.integers(0, 2**32 - 1), st.floats(-1, 1))
def test_ks_is_scipys_within_the_bins(seed, shift):
    random = np.random.default_rng(seed)
    reference, window = random.normal(size=800), random.normal(shift, 1, size=500)
    edges = np.quantile(reference, np.linspace(0, 1, 101)[1:-1])
    binned = [np.bincount(np.searchsorted(edges, values), minlength=100) for values in (reference, window)]
    exact = ks_2samp(reference, window)
    found = ks(*binned)
    assert found <= exact.statistic + 1e-12
    # Between two edges the distributions differ by at most what a bin holds of either.
    assert found >= exact.statistic - max(counts.max() / counts.sum() for counts in binned)


def test_the_p_values_are_scipys():
    # The limit distribution's textbook points: 1.3581 at 5 %, 1.6276 at 1 %.
    assert ks_p(1.3581 / 500**0.5, 1000, 1000) == pytest.approx(0.05, abs=1e-4)
    assert ks_p(1.6276 / 500**0.5, 1000, 1000) == pytest.approx(0.01, abs=1e-4)
    table = np.array([[120, 80, 300], [100, 130, 290]])
    assert psi_p(*table) == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=1e-9)


def test_equal_windows_keep_to_the_level():
    random = np.random.default_rng(1)
    reference = random.multinomial(5000, [0.1] * 10)
    ps = [psi_p(reference, random.multinomial(1000, reference / 5000)) for _ in range(2000)]
    # The window is drawn from the sampled reference itself, so this errs to the safe side.
    assert np.mean(np.array(ps) < 0.01) <= 0.02


def test_an_unseen_category_is_drift_and_a_rare_one_is_not():
    reference = [500, 480, 20, 0, 0]
    assert compare_feature("f", reference, [400, 380, 20, 200, 0], ordered=0, features=30).p < 1e-6
    assert compare_feature("f", reference, [495, 480, 23, 2, 0], ordered=0, features=30).p == 1.0


def test_half_a_standard_deviation_shows_in_one_window():
    random = np.random.default_rng(2)
    reference = random.normal(size=2000)
    edges = np.quantile(reference, np.linspace(0, 1, 21)[1:-1])
    window = random.normal(0.5, 1, size=1000)
    binned = [np.bincount(np.searchsorted(edges, values), minlength=20) for values in (reference, window)]
    found = compare_feature("f", *binned, ordered=20, features=30)
    assert found.p < 1e-10
    assert next_alarm_level(0.0, found.p) > 1000


@given(st.floats(1e-12, 0.999))
def test_the_e_value_is_the_integral(p):
    exact, _ = quad(lambda k: k * p ** (k - 1), 0, 1)
    assert evidence_of(p) == pytest.approx(exact, rel=1e-6)


def test_an_e_value_has_expectation_one_under_uniform_p():
    grid = (np.arange(200_000) + 0.5) / 200_000
    assert np.mean([evidence_of(p) for p in grid]) <= 1.0


def test_without_a_change_the_alarm_comes_no_more_often_than_promised():
    random = np.random.default_rng(3)
    alarms, level = 0, 0.0
    for p in random.random(50_000):
        level = next_alarm_level(level, p)
        if level >= 1000:
            alarms, level = alarms + 1, 0.0
    assert alarms <= 50


def test_nothing_is_no_drift():
    assert psi([0, 0], [1, 2]) == 0
    assert ks([1, 2], [0, 0]) == 0
    assert ks_p(1.0, 0, 5) == 1
    assert psi_p([0, 0], [0, 0]) == 1
