import numpy as np
import pytest
from modelmesh.stats.intervals import difference_interval, quantile_interval, wilson
from modelmesh.stats.log_histogram import add_value
from scipy.stats import binomtest


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (57, 1200)])
def test_wilson_is_scipys(k, n):
    exact = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((exact.low, exact.high))


def test_nothing_says_nothing():
    assert wilson(0, 0) == (0, 1)
    assert difference_interval((0, 1), (0, 5)) == (-1, 1)


def test_the_interval_of_a_quantile_covers_it_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        bins = {}
        for value in random.exponential(10, size=400):
            add_value(bins, value)
        low, high = quantile_interval(bins, 0.9)
        covered += low / 1.02 <= 10 * np.log(10) <= high * 1.02
    assert covered >= 0.92 * 300
    assert quantile_interval({}, 0.5) == (None, None)


def test_a_difference_is_newcombes():
    # Newcombe 1998, table II, 56/70 less 48/80 by method 10: 0.0524 to 0.3339.
    assert difference_interval((48, 56), (80, 70)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
