"""A compiled form marks the rows of which it is sure."""

import numpy as np
import pytest
from modelmesh.models.adapters.onnx_predictor import OnnxPredictor
from modelmesh.models.compiled.domain import SURE, OutsideDomain
from onnx import TensorProto, helper


def guarded_form():
    """y = x, sure where x is a number."""
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["value"]),
            helper.make_node("IsNaN", ["x"], ["gone"]),
            helper.make_node("Not", ["gone"], [SURE]),
        ],
        "guarded",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None])],
        [
            helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None]),
            helper.make_tensor_value_info(SURE, TensorProto.BOOL, [None]),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_rows_inside_are_answered_without_the_guard():
    outputs = OnnxPredictor(guarded_form(), None, threads=1).predict({"x": np.array([1.0, 2.0])})
    assert {name: array.tolist() for name, array in outputs.items()} == {"value": [1.0, 2.0]}


def test_a_row_outside_raises_an_exception_that_names_it():
    with pytest.raises(OutsideDomain) as caught:
        OnnxPredictor(guarded_form(), None, threads=1).predict({"x": np.array([1.0, np.nan])})
    assert caught.value.inside.tolist() == [True, False]
    assert caught.value.outputs["value"][0] == 1.0
