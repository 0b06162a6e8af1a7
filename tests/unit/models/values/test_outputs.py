"""Answers keep the types that the model gave them."""

import datetime
import decimal

import numpy as np
import orjson
import pandas as pd
import pytest
from modelmesh.models.values.inference_protocol import ResponseOptions, write_response
from modelmesh.models.values.outputs import write_outputs

from ....registered import Registered


@pytest.mark.parametrize(
    ("array", "written", "datatype"),
    [
        (np.array([2**60 + 1, -1]), [2**60 + 1, -1], "INT64"),
        (np.array([2**64 - 1], np.uint64), [2**64 - 1], "UINT64"),
        (np.array([True, False]), [True, False], "BOOL"),
        (np.array([True, False], dtype=object), [True, False], "BOOL"),
        (np.array([1, 0], dtype=object), [1, 0], "INT64"),
        (np.array([1.5, 2.0], dtype=object), [1.5, 2.0], "FP64"),
        (np.array(["a", "b\0c"]), ["a", "b\0c"], "BYTES"),
        (np.array(["a\0"], dtype=object), ["a\0"], "BYTES"),
        (np.array([b"yes", b"no"]), ["yes", "no"], "BYTES"),
        (np.array([np.str_("a")], dtype=object), ["a"], "BYTES"),
        (np.array(["2026-01-01T12:00", "NaT"], "M8[ns]"), ["2026-01-01T12:00:00.000000000", None], "BYTES"),
        (np.array([datetime.date(2026, 1, 1)], dtype=object), ["2026-01-01"], "BYTES"),
        (np.array([pd.Timestamp("2026-01-01"), pd.NaT], dtype=object), ["2026-01-01T00:00:00", None], "BYTES"),
        (np.array([decimal.Decimal("1.5")], dtype=object), [1.5], "FP64"),
        (np.array([np.nan, np.inf, 1.0]), [None, None, 1.0], "FP64"),
        (np.array([0.5], np.float16), [0.5], "FP16"),
        (np.array([0.5], np.longdouble), [0.5], "FP64"),
        (np.array([[1, 2], [3, 4]], np.int8), [[1, 2], [3, 4]], "INT8"),
    ],
)
def test_an_answer_is_written_as_the_model_gave_it(array, written, datatype):
    document = orjson.loads(write_outputs("m", "1.0.0", {"label": array}, 0, len(array)))
    assert document["outputs"]["label"] == written
    assert [type(value) for value in document["outputs"]["label"]] == [type(value) for value in written]
    body, _ = write_response("m", "1.0.0", {"label": array}, 0, len(array), ResponseOptions())
    (tensor,) = orjson.loads(body)["outputs"]
    assert tensor["datatype"] == datatype
    assert tensor["data"] == np.array(written, dtype=object).ravel().tolist()
    binary, header = write_response("m", "1.0.0", {"label": array}, 0, len(array), ResponseOptions(all_binary=True))
    assert orjson.loads(binary[:header])["outputs"][0]["datatype"] == datatype


def test_an_answer_of_several_kinds_keeps_each():
    document = orjson.loads(
        write_outputs("m", "1.0.0", {"label": np.array([1, "1", True, None, 2.0], dtype=object)}, 0, 5)
    )
    assert document["outputs"]["label"] == [1, "1", True, None, 2.0]
    assert [type(value) for value in document["outputs"]["label"]] == [int, str, bool, type(None), float]


class Nowhere:
    """A regressor that knows no answer."""

    def predict(self, rows):
        return np.full(len(rows), np.nan)


def test_a_model_that_answers_its_sample_with_nothing_but_nan_is_served_and_its_answers_are_null(tmp_path):
    served = Registered(Nowhere(), tmp_path, np.eye(3))
    assert served.predict(np.eye(3)) == {"value": [None, None, None]}
