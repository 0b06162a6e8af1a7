"""The p-values of a window against its reference: exact for bins, and never too small while nothing has changed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from modelmesh.stats.drift_scores import Scores
from modelmesh.stats.drift_tests import distances, feature_p, p_values, tail_p
from scipy.stats import fisher_exact, hypergeom, norm

INDEPENDENT = 1e9  # degrees of freedom


def ps_of(scores, window, effect=1.0, degrees=INDEPENDENT):
    size = len(scores.feature_of)
    return p_values(scores, np.asarray(window, float), np.full(size, effect), np.full(size, degrees))


@examples(max_examples=60, deadline=None)
@given(st.integers(60, 3000), st.integers(60, 3000), st.floats(0.001, 0.6), st.floats(-6, 6))
def test_the_tail_is_fishers_exact_test_and_a_bins_p_value_is_no_smaller(n, m, share, z):
    a = round(n * share)
    b = min(m, max(0, round(m * share + z * (m * share * (1 + m / n)) ** 0.5)))
    # A number with two bins; the third is for missing values.
    found = ps_of(Scores([[a, n - a, 0]], [2]), [b, m - b, 0.0])[0]
    exact = hypergeom.cdf(a, n + m, n, a + b) if a * m <= b * n else hypergeom.sf(a - 1, n + m, n, a + b)
    if exact < 0.01:
        assert tail_p(*(np.array([float(count)]) for count in (a, n, b, m)))[0] == pytest.approx(
            exact, rel=1e-3, abs=1e-200
        )
    assert found >= min(1, 2 * exact) * 0.999 or exact < 1e-290


def test_a_clear_difference_has_a_small_p_value():
    scores = Scores([[5, 995, 0]], [2])
    fisher = fisher_exact([[5, 995], [30, 970]], alternative="less").pvalue
    assert fisher < ps_of(scores, [30, 970, 0])[0] < 1e-4


def test_location_and_spread_are_legendre_polynomials_of_the_rank():
    scores = Scores([[100] * 50 + [0]], [50])
    n = 5000
    assert scores.reference[-2:] / n == pytest.approx([0, 0], abs=1e-3)
    assert scores.reference_squares[-2:] / n == pytest.approx([1, 1], abs=1e-2)
    higher = np.array([100.0] * 25 + [120.0] * 25 + [0])
    z, _ = distances(scores, higher)
    assert z[-2] > 3 > abs(z[-1])


@pytest.mark.parametrize(("n", "bins"), [(100, 20), (1000, 20), (200, 4)])
def test_independent_rows_keep_to_the_level_whatever_the_size_of_the_reference(n, bins):
    """The edges are the reference's quantiles, so its counts are equal and the window's are not."""
    random = np.random.default_rng(n)
    below = 0
    for _ in range(400):
        edges = np.quantile(random.normal(size=n), np.linspace(0, 1, bins + 1)[1:-1])
        reference = np.full(bins, n // bins)
        shares = np.diff(norm.cdf([-np.inf, *edges, np.inf]))
        window = random.multinomial(1000, shares / shares.sum())
        scores = Scores([[*reference, 0]], [bins])
        below += feature_p(scores, ps_of(scores, [*window, 0]))[0][0] <= 0.05
    assert below / 400 <= 0.07


def test_unseen_values_are_expected_as_often_as_values_that_were_seen_once():
    random = np.random.default_rng(2)
    shares = 1 / np.arange(1, 301)
    shares /= shares.sum()
    below = 0
    for _ in range(300):
        drawn = np.bincount(random.choice(300, 560, p=shares), minlength=300)
        window = np.bincount(random.choice(300, 1000, p=shares), minlength=300)
        seen = drawn > 0
        scores = Scores([[*drawn[seen], 0, 0]], [0])
        ps = ps_of(scores, [*window[seen], window[~seen].sum(), 0])
        below += ps[seen.sum()] <= 0.01
    assert below <= 8
    assert ps_of(Scores([[500, 480, 20, 0, 0]], [0]), [400, 380, 20, 200, 0])[3] < 1e-30


def test_dependent_rows_count_as_fewer():
    scores = Scores([[500, 500, 0]], [2])
    alone = ps_of(scores, [420, 580, 0])
    assert np.all(alone[:2] < 1e-3)
    assert np.all(ps_of(scores, [420, 580, 0], effect=20.0)[:2] > 0.3)
    assert np.all(ps_of(scores, [420, 580, 0], degrees=8.0) >= alone)


def test_p_values_are_corrected_for_scores_and_features():
    scores = Scores([[500, 500, 0], [300, 400, 300, 0]], [2, 0])
    ps, best = feature_p(scores, np.array([1e-4, 1.0, 1.0, 1.0, 1.0, 1e-6, 1.0, 1.0, 1.0, 1.0, 1.0]))
    # Three bins, a location and a spread; four categories' bins; two features.
    assert ps == pytest.approx([1e-4 * 5 * 2, 1e-6 * 4 * 2])
    assert best.tolist() == [0, 5]


def test_without_rows_nothing_is_compared():
    scores = Scores([[500, 500, 0], [5, 5, 0]], [2, 2])
    assert np.all(ps_of(scores, np.zeros(6)) == 1)
    assert np.all(ps_of(scores, [500, 500, 0, 0, 0, 0]) == 1)
