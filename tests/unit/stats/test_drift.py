import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.stats.drift import EMPTY, distance_of, ks, psi
from scipy.stats import ks_2samp

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


def test_nothing_is_no_distance():
    assert psi([0, 0], [1, 2]) == 0
    assert ks([1, 2], [0, 0]) == 0
    assert distance_of("f", [1, 2], [1, 2], ordered=0).ks is None
