"""Small ONNX models that misbehave on command: rows are (flag, x), the answer is 2 x, and what a flag of 1 does is built in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper, save

SIDE = 64


def chaos_model(
    path: Path, *, fails: bool = False, iterations: int = 0, slow_iterations: int = 0, scale: float = 2.0
) -> Path:
    """Write a model; return its path.

    `fails`: a flagged row makes the model raise (an index out of bounds). `iterations`: matrix products that each run does,
    about 10 microseconds each; `slow_iterations`: those that a flagged row adds.
    """
    features = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])
    constants = {
        "flag_at": np.array(0, np.int64),
        "x_at": np.array(1, np.int64),
        "table": np.zeros(1 if fails else 2, np.float32),
        "scale": np.array(scale, np.float32),
        "least": np.array([iterations], np.float32),
        "more": np.array([slow_iterations], np.float32),
        "unit": np.eye(SIDE, dtype=np.float32),
        "on": np.array(True),
        "nothing": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["x", "flag_at"], ["flag"], axis=1),
        helper.make_node("Gather", ["x", "x_at"], ["number"], axis=1),
        helper.make_node("Cast", ["flag"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["looked_up"]),
        helper.make_node("ReduceMax", ["flag"], ["any_flag"], keepdims=0),
        helper.make_node("Mul", ["any_flag", "more"], ["extra"]),
        helper.make_node("Add", ["least", "extra"], ["turns"]),
        helper.make_node("Cast", ["turns"], ["trips"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["trips"], ["trip_count"]),
        helper.make_node("Loop", ["trip_count", "on", "unit"], ["spun"], body=_spin()),
        # What was spun is used, or the runtime would leave the loop out.
        helper.make_node("ReduceSum", ["spun"], ["spun_sum"], keepdims=0),
        helper.make_node("Mul", ["spun_sum", "nothing"], ["no_value"]),
        helper.make_node("Mul", ["number", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "looked_up"], ["with_lookup"]),
        helper.make_node("Add", ["with_lookup", "no_value"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes, "chaos", [features], [value], [numpy_helper.from_array(array, name) for name, array in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, str(path))
    return path


def _spin() -> GraphProto:
    """Return a loop's body: one matrix product."""
    return helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "unit"], ["next_state"]),
        ],
        "spin",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_state", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
    )


SAMPLE = [[0.0, float(number)] for number in range(8)]
