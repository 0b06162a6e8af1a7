"""Measures of texts and images: a fixed number of finite numbers, the same in every process."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.models.proof.measures import CELLS, MAX_VALUES, category_of, text_columns, wide_columns

texts = st.none() | st.text(max_size=200) | st.text(alphabet="ab é\0\n😀", min_size=2000, max_size=3000)


@given(st.lists(texts, max_size=6))
def test_texts_have_numbers_and_what_is_missing_has_none(values):
    columns = text_columns("t", np.array(values, dtype=object))
    assert len(columns) == 22
    for _, numbers in columns:
        assert numbers.shape == (len(values),)
        assert [bool(missing) for missing in np.isnan(numbers)] == [value is None for value in values]
        assert np.isfinite(numbers[~np.isnan(numbers)]).all()


def test_measures_of_a_row_do_not_depend_on_the_others():
    values = np.array(["one two", "three", "Four 4"], dtype=object)
    whole = dict(text_columns("t", values))
    for row in range(3):
        for name, numbers in text_columns("t", values[row : row + 1]):
            assert numbers[0] == whole[name][row]
    pictures = np.random.default_rng(0).normal(size=(5, 3, 40, 40))
    together = dict(wide_columns("x", pictures))
    for name, numbers in wide_columns("x", pictures[2:3]):
        assert numbers[0] == pytest.approx(together[name][2], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("width", [0, 1, 5, CELLS, CELLS + 1, MAX_VALUES, MAX_VALUES + 1, 3 * MAX_VALUES + 7])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int64", "bool"])
def test_pictures_of_any_size_and_type_have_numbers(width, dtype):
    columns = wide_columns("x", np.ones((2, width), dtype))
    assert len(columns) == 21
    assert all(np.isfinite(numbers).all() and numbers.shape == (2,) for _, numbers in columns)


def test_what_is_not_finite_spoils_no_measure():
    rows = np.array([[np.nan, np.inf, -np.inf, 1e300, 1.0]] * 2)
    assert all(np.isfinite(numbers).all() for _, numbers in wide_columns("x", rows))


@given(st.text(max_size=400), st.text(max_size=400))
def test_different_texts_are_different_categories(one, other):
    assert (category_of(one) == category_of(other)) == (one == other)
    assert len(category_of(one).encode(errors="replace")) <= 64
