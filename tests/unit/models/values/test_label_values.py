"""Labels are compared and counted by value and kind, in the same way by all code that compares them."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.models.proof.profile import output_labels
from modelmesh.models.values.difference import difference
from modelmesh.models.values.label_values import label_key, same_label
from modelmesh.models.values.truth import BatchAccuracy, compare_with_truth
from modelmesh.replay.report import ReplayReport
from modelmesh.schemas.payloads.profiles import OutputBins

# Two labels, whether they are equal, and whether they are equal to a table of labels (lenient).
PAIRS = [
    (0, 0.0, True, True),
    (1, 1.0, True, True),
    (1, True, False, True),
    (0, False, False, True),
    (1, "1", False, True),
    (1.0, "1", False, True),
    (1, "1.0", False, True),
    (True, "true", False, True),
    (True, "1", False, True),
    ("1", "1.0", False, False),
    ("01", "1", False, False),
    ("01", 1, False, True),
    ("a", "a", True, True),
    ("a", "a ", False, False),
    (2**60, 2**60 + 1, False, False),
    (2**60, float(2**60), True, True),
    (2**60 + 1, float(2**60), False, False),
    (10**17, str(10**17), False, True),
    (None, float("nan"), True, True),
    (None, 0, False, False),
    ([0, 1], [0.0, 1.0], True, True),
    ([0, 1], [0, 1, 1], False, False),
    ("ab", ["a", "b"], False, False),
    (b"yes", "yes", True, True),
    (np.float32(1), 1, True, True),
    (datetime.date(2026, 1, 1), "2026-01-01", True, True),
]


@pytest.mark.parametrize(("one", "other", "same", "to_a_table"), PAIRS)
def test_labels_are_the_same_by_value_and_kind(one, other, same, to_a_table):
    for a, b in ((one, other), (other, one)):
        assert same_label(a, b) == same
        assert same_label(a, b, lenient=True) == to_a_table
        assert difference({"label": [a]}, {"label": [b]}).agree == same
        assert compare_with_truth({"label": [a]}, [b]) == BatchAccuracy(1, int(to_a_table), None)
        report = ReplayReport()
        assert report.add_answer({"label": [a]}, {"label": [b]}) == same
        assert len(report.document()["label_changes"]) == (not same)


labels = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3).map(round).map(float)
    | st.sampled_from(["1", "a"])
)


@given(labels, labels)
def test_what_is_the_same_is_counted_together(one, other):
    if same_label(one, other):
        assert label_key(one) == label_key(other)
        assert same_label(one, other, lenient=True)
    assert same_label(one, one)
    assert same_label(one, other) == same_label(other, one)


def test_a_candidate_that_answers_one_in_floating_point_is_counted_beside_one():
    bins = OutputBins(output="label")
    for answers in (np.array([0, 1]), np.array([0.0, 1.0]), np.array([0, 1.0], dtype=object)):
        assert output_labels(bins, {"label": answers}) == ["0", "1"]
    assert output_labels(bins, {"label": np.array([b"yes"])}) == ["yes"]
