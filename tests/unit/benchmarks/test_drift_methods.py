"""The drift tests beside the alarm."""

import numpy as np
import pytest

from benchmarks.simulations.drift_methods import feature_tests
from benchmarks.simulations.drift_methods.feature_tests import p_value
from benchmarks.simulations.drift_methods.psi import drifts as psi_finds
from benchmarks.simulations.drift_methods.psi import psi

RANDOM = np.random.default_rng(3)
SAME = RANDOM.normal(size=5000)


def test_psi_is_the_sum_over_bins():
    reference, window = (np.array(["a"] * count + ["b"] * (100 - count), dtype=object) for count in (50, 80))
    assert psi(reference, window) == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5))
    assert psi(SAME, SAME) == 0


def test_psi_sees_missing_values_and_ks_does_not():
    holes = np.where(RANDOM.random(1000) < 0.5, np.nan, RANDOM.normal(size=1000))
    assert psi_finds([SAME], [holes])
    assert p_value(SAME, holes) > 0.001


def test_a_constant_that_stays_is_no_drift():
    constant = np.full(1000, 3.0)
    assert psi(constant, constant[:100]) == 0
    assert p_value(constant, constant[:100]) == 1


def test_the_correction_divides_the_level_by_the_number_of_features():
    random = np.random.default_rng(0)
    windows = [[random.normal(size=500) for _ in range(20)] for _ in range(20)]
    reference = [random.normal(size=500) for _ in range(20)]
    plain, corrected = (
        sum(feature_tests.drifts(reference, one, corrected=c) for one in windows) for c in (False, True)
    )
    assert corrected < plain
    assert feature_tests.drifts([SAME], [SAME[:1000] + 1], corrected=True)


def test_words_are_compared_by_their_frequency():
    words = np.array(["a", "b"] * 500, dtype=object)
    assert p_value(words, words) == pytest.approx(1)
    assert p_value(words, np.array(["a"] * 100, dtype=object)) < 1e-6
