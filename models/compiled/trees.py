"""Compile forests, gradient boosting and histogram boosting from scikit-learn's arrays.

Comparisons are scikit-learn's: trees and gradient boosting compare a float32 with a double, histogram boosting two doubles.
Missing values take the branch that training chose for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers import Outputs, first_largest, labels, regression, two_columns
from .graph import UNIT, Block, Graph, NotCompiled

_LEAF = -1
_FLOAT_BITS = 24
_VOTE_BITS = 32  # minimum precision of a vote that is split into parts


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each threshold: for any float32 x, x <= t is then the same as in float64."""
    with np.errstate(over="ignore"):
        narrow = thresholds.astype(np.float32)
    return np.where(narrow > thresholds, np.nextafter(narrow, np.float32(-np.inf)), narrow)


def _tree_input(graph: Graph, model: Any, block: Block) -> str:
    """Return the float32 tensor that trees compare, guarded against values that the model refuses."""
    from sklearn.utils import get_tags

    if block.error is not None:
        raise NotCompiled("trees come after a step whose sums are rounded in another order")
    narrow = graph.cast(block.values, np.float32)
    if get_tags(model).input_tags.allow_nan and not block.sparse:
        graph.guard_no_infinity(narrow)
    else:
        graph.guard_finite(narrow, np.float32)
    return narrow


def _split_votes(votes: NDArray[np.float64], trees: int) -> tuple[list[NDArray[np.float32]], float]:
    """Split votes (0 to 1) into parts of so few bits that float32 adds each part up over all trees without rounding.

    Return the parts and the maximum error of a vote's sum of parts: 0 if one part is enough (pure leaves).
    """
    bits = _FLOAT_BITS - int(np.ceil(np.log2(trees + 1))) - 1
    parts, rest, step = [], votes, 1.0
    for _ in range(-(-_VOTE_BITS // bits)):
        step *= 2.0**-bits
        part = np.round(rest / step) * step
        parts.append(part.astype(np.float32))
        rest = rest - part
        if not rest.any():
            return parts, 0.0
    return parts, step


def _forest_nodes(estimators: list[Any]) -> dict[str, Any]:
    """Return the attributes of TreeEnsembleRegressor that describe the trees without their leaf values."""
    found: dict[str, list[NDArray[Any]]] = {}

    def add(name: str, array: NDArray[Any]) -> None:
        found.setdefault(name, []).append(array)

    for number, estimator in enumerate(estimators):
        tree = estimator.tree_
        leaf = tree.children_left == _LEAF
        add("nodes_treeids", np.full(tree.node_count, number))
        add("nodes_nodeids", np.arange(tree.node_count))
        add("nodes_featureids", np.where(leaf, 0, tree.feature))
        add("nodes_values", np.where(leaf, np.float32(0), _round_down(tree.threshold)))
        add("nodes_truenodeids", np.where(leaf, 0, tree.children_left))
        add("nodes_falsenodeids", np.where(leaf, 0, tree.children_right))
        add("nodes_missing_value_tracks_true", np.where(leaf, 0, tree.missing_go_to_left))
        add("nodes_modes", np.where(leaf, b"LEAF", b"BRANCH_LEQ"))
    return {name: np.concatenate(parts).tolist() for name, parts in found.items()}


def _votes(graph: Graph, model: Any, estimators: list[Any], floats: str) -> tuple[str, float]:
    """Return the votes (rows, classes) added up in double, and the maximum error of a sum."""
    leaves = [np.flatnonzero(each.tree_.children_left == _LEAF) for each in estimators]
    votes = np.concatenate([each.tree_.value[leaf, 0, :] for each, leaf in zip(estimators, leaves, strict=True)])
    if not ((votes >= 0) & (votes <= 1)).all():
        raise NotCompiled("a leaf's votes are not between 0 and 1")
    parts, error = _split_votes(votes, len(estimators))
    classes = len(model.classes_)
    second_only = classes == 2 and len(parts) > 1  # the first class has the rest
    if second_only:
        parts = [part[:, 1:] for part in parts]
    width = parts[0].shape[1]
    weights = np.concatenate(parts, axis=1)
    wanted = weights != 0
    wanted[:, 0] = True  # each leaf needs an entry
    rows, targets = np.nonzero(wanted)
    summed = graph.op(
        "TreeEnsembleRegressor", floats, domain="ai.onnx.ml", aggregate_function="SUM", n_targets=weights.shape[1],
        target_treeids=np.repeat(np.arange(len(leaves)), list(map(len, leaves)))[rows].tolist(),
        target_nodeids=np.concatenate(leaves)[rows].tolist(), target_ids=targets.tolist(),
        target_weights=weights[rows, targets].tolist(), **_forest_nodes(estimators),
    )  # fmt: skip
    total = graph.cast(summed, np.float64)
    if len(parts) > 1:
        pieces = [graph.columns(total, list(range(at * width, (at + 1) * width))) for at in range(len(parts))]
        total = pieces.pop()
        while pieces:  # the smallest first
            total = graph.op("Add", pieces.pop(), total)
    if second_only:
        total = graph.op("Concat", graph.op("Sub", graph.constant(len(estimators)), total), total, axis=1)
    return total, error * len(estimators)


def forest_classifier(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add a forest's or tree's votes, labels and probabilities.

    Votes of pure leaves are added up exactly, here and in scikit-learn: ties go to the first class. Other votes are rounded
    by scikit-learn after each tree, and by the split into parts here: a row whose two best classes are nearer than these
    errors is not sure.
    """
    if model.n_outputs_ != 1:
        raise NotCompiled("it has several outputs")
    classes = len(model.classes_)
    floats = _tree_input(graph, model, block)
    estimators = list(getattr(model, "estimators_", [model]))
    trees = len(estimators)
    if trees == 1:
        copies = [_Tree.of(estimators[0].tree_, 1.0, each, each) for each in range(classes)]
        probabilities = _ensemble(graph, copies, classes, graph.cast(floats, np.float64))
    else:
        votes, error = _votes(graph, model, estimators, floats)
        probabilities = graph.op("Div", votes, graph.constant(trees))
        if error and classes > 1:
            two = graph.op("TopK", probabilities, graph.constant([2], np.int64), axis=1, unused=1)
            gap = graph.op("Sub", graph.columns(two, [0]), graph.columns(two, [1]))
            graph.guard_all(graph.op("Greater", gap, graph.constant(2 * error / trees + 4 * trees * UNIT)))
    found = labels(graph, first_largest(graph, probabilities), model.classes_)
    return {**found, "probabilities": (probabilities, np.float64, classes)}


@dataclass(frozen=True, slots=True)
class _Tree:
    """One tree's nodes, with one value for each leaf, added to the output `target`."""

    left: NDArray[Any]
    right: NDArray[Any]
    leaf: NDArray[np.bool_]
    feature: NDArray[Any]
    threshold: NDArray[np.float64]
    missing_left: NDArray[Any]
    value: NDArray[np.float64]
    target: int

    @classmethod
    def of(cls, tree: Any, scale: float, target: int, number: int = 0) -> _Tree:
        """Return a scikit-learn tree, with output `number` of its leaves times `scale`."""
        leaf = tree.children_left == _LEAF
        return cls(
            tree.children_left, tree.children_right, leaf, tree.feature, tree.threshold, tree.missing_go_to_left,
            scale * tree.value[:, 0, number], target,
        )  # fmt: skip

    @classmethod
    def of_histogram(cls, nodes: Any, target: int) -> _Tree:
        """Return a tree of histogram boosting."""
        if (nodes["is_categorical"] & (1 - nodes["is_leaf"])).any():
            raise NotCompiled("it splits on categories")
        return cls(
            nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), nodes["is_leaf"].astype(bool),
            nodes["feature_idx"], nodes["num_threshold"], nodes["missing_go_to_left"], nodes["value"], target,
        )  # fmt: skip

    @classmethod
    def constant(cls, value: float, target: int) -> _Tree:
        """Return a tree with one leaf."""
        none = np.zeros(1, np.int64)
        return cls(none, none, np.ones(1, bool), none, np.zeros(1), none, np.array([value]), target)


def _ensemble(graph: Graph, trees: list[_Tree], targets: int, floats: str) -> str:
    """Return the sums (rows, targets) in double, added up tree by tree, with the same rounding as scikit-learn's loops."""
    from onnx import numpy_helper

    found: dict[str, list[Any]] = {}
    roots: list[int] = []
    nodes = leaves = 0

    def add(name: str, array: Any) -> None:
        found.setdefault(name, []).append(array)

    for tree in trees:
        inner, last = np.flatnonzero(~tree.leaf), np.flatnonzero(tree.leaf)
        place = np.empty(len(tree.leaf), np.int64)
        place[inner] = nodes + np.arange(len(inner))
        place[last] = leaves + np.arange(len(last))
        left, right, feature = tree.left[inner], tree.right[inner], tree.feature[inner]
        threshold, missing = tree.threshold[inner], tree.missing_left[inner]
        if not len(inner):  # the operator requires an inner node: both its branches lead to the one leaf
            left = right = last
            feature, threshold, missing = np.zeros(1, int), np.zeros(1), np.zeros(1, int)
        roots.append(nodes)
        add("nodes_featureids", feature)
        add("nodes_splits", threshold)
        add("nodes_truenodeids", place[left])
        add("nodes_falsenodeids", place[right])
        add("nodes_trueleafs", tree.leaf[left].astype(int))
        add("nodes_falseleafs", tree.leaf[right].astype(int))
        add("nodes_missing_value_tracks_true", missing.astype(int))
        add("leaf_targetids", np.full(len(last), tree.target))
        add("leaf_weights", tree.value[last])
        nodes += len(left)
        leaves += len(last)
    arrays = {name: np.concatenate(parts) for name, parts in found.items()}
    tensors = {"nodes_splits", "leaf_weights"}
    attributes = {
        name: numpy_helper.from_array(array.astype(np.float64), name) if name in tensors else array.tolist()
        for name, array in arrays.items()
    }
    modes = numpy_helper.from_array(np.zeros(nodes, np.uint8), "modes")  # 0: less or equal
    return graph.op(
        "TreeEnsemble", floats, domain="ai.onnx.ml", aggregate_function=1, post_transform=0, n_targets=targets,
        tree_roots=roots, nodes_modes=modes, **attributes,
    )  # fmt: skip


def forest_regressor(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add the mean of the trees."""
    if model.n_outputs_ != 1:
        raise NotCompiled("it has several outputs")
    estimators = list(getattr(model, "estimators_", [model]))
    wide = graph.cast(_tree_input(graph, model, block), np.float64)
    total = _ensemble(graph, [_Tree.of(each.tree_, 1.0, 0) for each in estimators], 1, wide)
    mean = graph.op("Div", total, graph.constant(len(estimators))) if len(estimators) > 1 else total
    return regression(graph, Block(mean, 1), flat=True)


def _boosted(graph: Graph, raw: str, width: int, model: Any, *, at_zero: bool, steepness: float = 1.0) -> Outputs:
    """Return labels and probabilities from raw sums; `at_zero`: the sum 0 means the second class."""
    if width > 1:
        found = labels(graph, first_largest(graph, raw), model.classes_)
        return {**found, "probabilities": (graph.op("Softmax", raw, axis=1), np.float64, width)}
    above = graph.op("GreaterOrEqual" if at_zero else "Greater", graph.flat(raw), graph.constant(0))
    if steepness != 1.0:
        raw = graph.op("Mul", raw, graph.constant(steepness))
    found = labels(graph, graph.cast(above, np.int64), model.classes_)
    return {**found, "probabilities": (two_columns(graph, graph.op("Sigmoid", raw)), np.float64, 2)}


def gradient_boosting(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add the stages of GradientBoostingClassifier or GradientBoostingRegressor."""
    from sklearn.base import is_classifier
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if model.init_ != "zero" and type(model.init_) not in (DummyClassifier, DummyRegressor):
        raise NotCompiled("its `init` estimator is not supported")
    width = model.n_trees_per_iteration_
    begin = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))[0]
    wide = graph.cast(_tree_input(graph, model, block), np.float64)
    trees = [_Tree.constant(value, target) for target, value in enumerate(begin)]
    trees += [_Tree.of(tree.tree_, model.learning_rate, at) for row in model.estimators_ for at, tree in enumerate(row)]
    raw = _ensemble(graph, trees, width, wide)
    if not is_classifier(model):
        return regression(graph, Block(raw, 1), flat=True)
    return _boosted(graph, raw, width, model, at_zero=True, steepness=2.0 if model.loss == "exponential" else 1.0)


def histogram_boosting(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add the iterations of HistGradientBoostingClassifier or HistGradientBoostingRegressor, which take NaN and infinity."""
    from sklearn.base import is_classifier

    if block.sparse or block.error is not None:
        raise NotCompiled("trees come after a step whose sums are rounded in another order")
    if model.is_categorical_ is not None or model._preprocessor is not None:
        raise NotCompiled("it splits on categories")
    width = model.n_trees_per_iteration_
    trees = [_Tree.constant(value, target) for target, value in enumerate(model._baseline_prediction.ravel())]
    trees += [_Tree.of_histogram(each.nodes, at) for row in model._predictors for at, each in enumerate(row)]
    raw = _ensemble(graph, trees, width, block.values)
    if is_classifier(model):
        return _boosted(graph, raw, width, model, at_zero=False)
    if model.loss in ("poisson", "gamma"):
        raw = graph.op("Exp", raw)
    return regression(graph, Block(raw, 1), flat=True)
