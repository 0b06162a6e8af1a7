"""Rows and samples in all accepted forms become JSON."""

import datetime
import decimal
import pathlib
import uuid

import numpy as np
import orjson
import pandas as pd
import pytest
from modelmesh.models.values.json_values import json_of
from modelmesh.schemas.errors import InvalidInput
from modelmesh.sdk.rows import inputs_of, rows_of


def test_values_of_other_libraries_are_sent_as_what_they_are():
    class Colour(str):
        __slots__ = ()

    row = {
        "decimal": decimal.Decimal("12.50"),
        "whole": decimal.Decimal(10**17 + 1),
        "timestamp": pd.Timestamp("2026-01-01T00:00:00.123456789"),
        "date": datetime.date(2026, 1, 1),
        "uuid": uuid.UUID(int=1),
        "path": pathlib.PurePosixPath("/a/b"),
        "f32": np.float32(0.1),
        "u64": np.uint64(2**64 - 1),
        "bool": np.bool_(True),
        "str": Colour("red"),
        "na": pd.NA,
        "nat": pd.NaT,
        "nan": float("nan"),
        "moment": np.datetime64("2026-01-01"),
        "list": np.arange(2),
    }
    assert json_of(row) == (
        b'{"decimal":12.5,"whole":100000000000000001,"timestamp":"2026-01-01T00:00:00.123456789","date":"2026-01-01",'
        b'"uuid":"00000000-0000-0000-0000-000000000001","path":"/a/b","f32":0.10000000149011612,'
        b'"u64":18446744073709551615,"bool":true,"str":"red","na":null,"nat":null,"nan":null,"moment":"2026-01-01",'
        b'"list":[0,1]}'
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("inf"), "JSON has no infinity"),
        (np.float32("-inf"), "JSON has no infinity"),
        (2**64, "64-bit"),
        (1j, "JSON has no type for complex"),
        (b"bytes", "bytes are not text"),
        (decimal.Decimal("0.12345678901234567890"), "more digits than a float64 keeps"),
        (datetime.timedelta(1), "no type for timedelta"),
        ({1: 2}, "must be str"),
    ],
)
def test_what_json_cannot_say_is_refused_by_its_place(value, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        json_of({"inputs": [{"a": 1, "b": "null"}, {"a": value}]})
    assert "inputs[1].a" in caught.value.detail


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (pd.DataFrame([[1, "a"], [2, "b"]]), [[1, "a"], [2, "b"]]),
        (pd.DataFrame({"x": [1, 2], "y": [0.5, np.nan]}), [{"x": 1, "y": 0.5}, {"x": 2, "y": None}]),
        ({"x": [1, 2], "y": ["a", "b"]}, [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]),
        ({"x": 1, "y": "a"}, [{"x": 1, "y": "a"}]),
        ([np.array([1.0, 2.0]), (3, 4)], [[1.0, 2.0], [3, 4]]),
        ([pd.Series({"x": 1}), pd.Series({"x": 2})], [{"x": 1}, {"x": 2}]),
        (np.array([[1, 2]], np.uint64), [[1, 2]]),
    ],
)
def test_a_sample_may_come_in_many_forms(given, rows):
    assert orjson.loads(json_of(rows_of(given))) == rows


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (pd.Series([1.0, 2.0]), b"[1.0,2.0]"),
        (pd.Series({"x": 1, "y": "a"}), b'{"x":1,"y":"a"}'),
        ((1.0, 2.0), b"[1.0,2.0]"),
        ([np.array([1.0]), np.array([2.0])], b"[[1.0],[2.0]]"),
    ],
)
def test_a_row_may_come_in_many_forms(given, sent):
    assert json_of(inputs_of(given)) == sent


def test_columns_that_cannot_be_told_apart_are_refused():
    with pytest.raises(InvalidInput, match="two columns of the table are named 'a'"):
        rows_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InvalidInput, match="the column name 3 is not text"):
        rows_of(pd.DataFrame([[1, 2]], columns=["a", 3]))


def test_a_column_with_an_empty_name_is_refused_in_words():
    with pytest.raises(InvalidInput, match="empty name"):
        rows_of(pd.DataFrame({"": [1.0], "b": [2.0]}))
