import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.models.proof.measures import LONGEST_CATEGORY, MOMENTS, PROJECTIONS
from modelmesh.models.proof.profile import (
    MAX_FEATURES,
    MAX_LABELS,
    OTHER_LABELS,
    PROFILE_BYTES,
    build_profile,
    columns_of,
    count_labels,
    count_rows,
    output_bins_of,
    output_labels,
)

floats = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=50)
words = st.lists(st.sampled_from(["a", "b", "c", "", None]), min_size=1, max_size=50)


@given(floats, floats, st.integers(0, 50))
def test_each_row_is_in_one_bin_and_any_split_adds_up(reference, live, cut):
    profile = build_profile(columns_of({"x": np.array(reference)}))
    assert sum(profile.features[0].counts) == len(reference)
    whole = np.array(count_rows(profile, {"x": np.array(live)}))
    assert whole.sum() == len(live)
    parts = [np.array(part, dtype=float) for part in (live[:cut], live[cut:])]
    assert (sum(np.array(count_rows(profile, {"x": part})) for part in parts) == whole).all()


@given(words, words)
def test_categories_have_a_bin_for_the_unseen_and_one_for_the_missing(reference, live):
    profile = build_profile([("merchant", np.array(reference, dtype=object))])
    [counts] = count_rows(profile, {"merchant": np.array(live, dtype=object)})
    known = {value for value in reference if value is not None}
    assert counts[-1] == live.count(None)
    assert counts[-2] == sum(value not in known and value is not None for value in live)
    for category, count in zip(profile.features[0].categories, counts, strict=False):
        assert count == live.count(category)


def test_quantile_bins_hold_equal_shares():
    profile = build_profile([("x", np.random.default_rng(0).normal(size=2000))])
    # Values below the smallest, 20 bins, values above the largest.
    assert profile.features[0].counts[:-1] == (0, *[100] * 20, 0)


def test_a_constant_column_has_a_bin_below_and_above():
    [feature] = build_profile([("x", np.full(10, 3.0))]).features
    assert feature.edges == (np.nextafter(3.0, 0), 3.0)
    assert count_rows(build_profile([("x", np.full(10, 3.0))]), {"x": np.array([2.0, 3.0, 3.0, 4.0])}) == [[1, 2, 1, 0]]


def test_a_matrix_gives_a_feature_a_column_and_a_wide_one_a_few_measures():
    assert [name for name, _ in columns_of({"x": np.zeros((2, 3))})] == ["x[0]", "x[1]", "x[2]"]
    for shape in ((2, 500), (2, 8, 8), (2, 3, 300, 300), (1, 1, 1)):
        columns = columns_of({"x": np.zeros(shape)})
        assert [name for name, _ in columns][:2] == ["x: mean", "x: std"]
        assert len(columns) == len(MOMENTS) + PROJECTIONS
        assert {values.shape for _, values in columns} == {shape[:1]}
    assert build_profile([]) is None


def test_columns_without_end_are_measured_together():
    table = {f"c{number}": np.arange(3.0) for number in range(MAX_FEATURES + 300)}
    names = [name for name, _ in columns_of(table)]
    assert len(names) == MAX_FEATURES + len(MOMENTS) + PROJECTIONS
    assert names[MAX_FEATURES] == "(other columns): mean"


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        ({"probabilities": np.eye(2), "label": np.array(["no", "yes"])}, ["no", "yes"]),
        ({"value": np.array([1.0, 2.0])}, ["0", "9"]),
        ({"output": np.array([[0.1, 0.9], [0.8, 0.2]])}, ["1", "0"]),
    ],
)
def test_answers_are_counted_by_label_or_bin(outputs, labels):
    assert list(output_labels(output_bins_of(outputs), outputs)) == labels


def test_labels_without_end_are_counted_together():
    counts = {}
    count_labels(counts, map(str, range(500)))
    assert len(counts) == MAX_LABELS + 1
    assert counts[OTHER_LABELS] == 400


@given(st.lists(st.text(max_size=300) | st.text(alphabet="\0\n\U0001f600\udcff", min_size=60, max_size=90), max_size=9))
def test_a_label_of_any_length_is_counted_under_a_short_name(labels):
    counts = {}
    count_labels(counts, labels)
    assert sum(counts.values()) == len(labels)
    assert all(len(name.encode(errors="replace")) <= LONGEST_CATEGORY for name in counts)
    assert len(counts) == len(set(labels))


def test_a_profile_has_a_bound_whatever_its_columns():
    texts = np.array(["\0" * 63 + chr(number) for number in range(200)], dtype=object)
    few = np.array([f"{number % 50}" * 30 for number in range(200)], dtype=object)
    columns = [(f"{kind}{number}", values) for number in range(100) for kind, values in (("t", texts), ("f", few))]
    profile = build_profile(columns)
    assert profile.features
    assert len(profile.model_dump_json()) < 1.1 * PROFILE_BYTES
