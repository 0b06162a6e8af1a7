"""Answers are compared with labels by value, with numbers by absolute error; None if they do not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.models.values.truth import BatchAccuracy, Tally, compare_with_truth


@pytest.mark.parametrize(
    ("outputs", "truth", "verdict"),
    [
        ({"label": [1, 0, 1], "probabilities": [[0, 1]] * 3}, [1, 1, "1"], BatchAccuracy(3, 2, None)),
        ({"label": ["cat"]}, ["cat"], BatchAccuracy(1, 1, None)),
        ({"value": [1.5, 2.0]}, [1.0, "3"], BatchAccuracy(2, None, 1.5)),
        ({"label": [1]}, [1, 0], None),
        ({"value": [1.5]}, ["cat"], None),
        ({"value": [None]}, [1.0], None),
        ({"embedding": [[1.0, 2.0]]}, [1.0], None),
        ({}, [1], None),
    ],
)
def test_an_answer_against_the_truth(outputs, truth, verdict):
    assert compare_with_truth(outputs, truth) == verdict


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5), max_size=20))
def test_the_tally_of_several_answers_is_that_of_all_their_rows(answers):
    tally = Tally()
    for answer in answers:
        tally.add(compare_with_truth({"label": [ours for ours, _ in answer]}, [truth for _, truth in answer]))
    rows = [pair for answer in answers for pair in answer]
    figures = tally.figures()
    assert figures["rows"] == len(rows)
    if rows:
        assert figures["accuracy"] == sum(a == b for a, b in rows) / len(rows)
        low, high = figures["interval"]
        assert 0 <= low <= figures["accuracy"] <= high <= 1
    else:
        assert "accuracy" not in figures
