"""Compile a scikit-learn forest or tree to ONNX from its arrays.

skl2onnx walks a forest node by node in Python: 7 s for a 50 MB forest on floats, 19 s on doubles. The arrays that
scikit-learn keeps are already what ONNX's TreeEnsembleRegressor wants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAF = -1


def is_forest(model: Any) -> bool:
    """Whether this is a forest or a single tree with one output."""
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kinds = (
        RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor,
        DecisionTreeClassifier, DecisionTreeRegressor,
    )  # fmt: skip
    return type(model) in kinds and model.n_outputs_ == 1


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each threshold: for a float32 x, x <= t then says what it says in float64."""
    narrow = thresholds.astype(np.float32)
    return np.where(narrow > thresholds, np.nextafter(narrow, np.float32(-np.inf)), narrow)


def _tree_arrays(estimators: list[Any]) -> dict[str, NDArray[Any]]:
    """Return the nodes of all trees, one after another, as the attributes of TreeEnsembleRegressor."""
    parts: dict[str, list[NDArray[Any]]] = {}

    def add(name: str, array: NDArray[Any]) -> None:
        parts.setdefault(name, []).append(array)

    for number, estimator in enumerate(estimators):
        tree = estimator.tree_
        nodes = np.arange(tree.node_count)
        leaf = tree.children_left == _LEAF
        add("nodes_treeids", np.full(tree.node_count, number))
        add("nodes_nodeids", nodes)
        add("nodes_featureids", np.where(leaf, 0, tree.feature))
        add("nodes_values", np.where(leaf, np.float32(0), _round_down(tree.threshold)))
        add("nodes_truenodeids", np.where(leaf, 0, tree.children_left))
        add("nodes_falsenodeids", np.where(leaf, 0, tree.children_right))
        add("nodes_modes", np.where(leaf, b"LEAF", b"BRANCH_LEQ"))
        values = tree.value[leaf, 0, :]
        if hasattr(estimator, "classes_"):
            values = values / values.sum(axis=1, keepdims=True)
        rows, targets = np.nonzero(values)
        add("target_treeids", np.full(len(rows), number))
        add("target_nodeids", nodes[leaf][rows])
        add("target_ids", targets)
        add("target_weights", values[rows, targets].astype(np.float32))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def compile_forest(model: Any, input_name: str) -> bytes:
    """Return the ONNX model: input (rows, features) of float32; outputs `label` and `probabilities`, or `value`.

    The trees' votes are summed before they are divided, and ties go to the first class, as in scikit-learn.
    """
    from onnx import TensorProto, helper

    estimators = list(getattr(model, "estimators_", [model]))
    classes = getattr(model, "classes_", None)
    targets = 1 if classes is None else len(classes)
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor", [input_name], ["votes"], domain="ai.onnx.ml", aggregate_function="SUM", n_targets=targets,
            **{name: array.tolist() for name, array in _tree_arrays(estimators).items()},
        )
    ]  # fmt: skip
    constants = [helper.make_tensor("trees", TensorProto.FLOAT, [1], [float(len(estimators))])]
    outputs = []
    if classes is None:
        nodes.append(helper.make_node("Div", ["votes", "trees"], ["mean"]))
        constants.append(helper.make_tensor("flat", TensorProto.INT64, [1], [-1]))
        nodes.append(helper.make_node("Reshape", ["mean", "flat"], ["value"]))
        outputs.append(helper.make_tensor_value_info("value", TensorProto.FLOAT, [None]))
    else:
        nodes.append(helper.make_node("Div", ["votes", "trees"], ["probabilities"]))
        nodes.append(helper.make_node("ArgMax", ["votes"], ["position"], axis=1, keepdims=0))
        text = classes.dtype.kind not in "iub"
        kind = TensorProto.STRING if text else TensorProto.INT64
        values = [str(name).encode() for name in classes] if text else [int(name) for name in classes]
        constants.append(helper.make_tensor("classes", kind, [len(values)], values))
        nodes.append(helper.make_node("Gather", ["classes", "position"], ["label"]))
        outputs.append(helper.make_tensor_value_info("label", kind, [None]))
        outputs.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, targets]))
    features = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [None, model.n_features_in_])
    graph = helper.make_graph(nodes, "forest", [features], outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data
