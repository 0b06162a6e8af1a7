"""Keys that fail are coin flips: evidence grows with the candidate's, and stays low while arms are equal."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.stats.failing_keys import Windows, log_evidence, next_key, with_window


def after(flips, share, windows=None):
    windows = windows or with_window(Windows())
    for of_candidate in flips:
        windows = next_key(windows, of_candidate=of_candidate, share=share)
    return windows


def test_there_is_no_evidence_before_the_first_failure():
    assert log_evidence(Windows()) == 0
    assert log_evidence(with_window(Windows())) == pytest.approx(0)


@given(st.lists(st.booleans(), max_size=20), st.integers(1, 30), st.floats(0.01, 0.99))
def test_the_expected_factor_is_one(flips, windows, share):
    before = after(flips, share)
    for _ in range(windows - 1):
        before = with_window(before)
    expected = sum(
        probability * math.exp(log_evidence(next_key(before, of_candidate=of_candidate, share=share)))
        for of_candidate, probability in ((True, share), (False, 1 - share))
    )
    assert expected == pytest.approx(math.exp(log_evidence(before)))


def test_a_few_failing_keys_of_the_candidate_alone_decide():
    assert log_evidence(after([True] * 4, 0.1)) > math.log(250)


def test_earlier_windows_stay_evidence_and_later_ones_can_decide():
    bad = after([True] * 4, 0.1)
    assert log_evidence(with_window(bad)) == pytest.approx(log_evidence(bad))
    later = with_window(after([False] * 50, 0.1))
    assert log_evidence(after([True] * 6, 0.1, later)) > math.log(250)


def test_equal_arms_reach_the_limit_no_more_often_than_promised():
    random = np.random.default_rng(0)
    reached = 0
    for _ in range(300):
        windows, highest = with_window(Windows()), 0.0
        for number, flip in enumerate(random.random(300) < 0.2, 1):
            windows = next_key(windows, of_candidate=bool(flip), share=0.2)
            windows = with_window(windows) if number % 100 == 0 else windows
            highest = max(highest, log_evidence(windows))
        reached += highest >= math.log(20)
    assert reached <= 25
