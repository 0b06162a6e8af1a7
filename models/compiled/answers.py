"""The last part of a compiled graph: votes, scores or sums become labels and probabilities, with guards for unsure rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import TOLERANCE, UNIT, Block, Graph, NotCompiled

Outputs = dict[str, tuple[str, Any, int | None]]


def labels(graph: Graph, position: str, classes: NDArray[Any]) -> Outputs:
    """Return the output `label`: classes keep value and type. Raises NotCompiled for types that ONNX does not have."""
    if classes.dtype.kind in "iubf" and classes.dtype != np.float16:
        constant, dtype = graph.constant(classes, classes.dtype), classes.dtype
    elif classes.dtype.kind in "UO" and all(isinstance(name, str) for name in classes):
        constant, dtype = graph.texts([str(name) for name in classes]), np.dtype(object)
    else:
        raise NotCompiled(f"its classes are {type(classes[0]).__name__} in an array of {classes.dtype}")
    return {"label": (graph.op("Gather", constant, position), dtype, None)}


def first_largest(graph: Graph, scores: str) -> str:
    """Return the position (rows,) of the largest score; ties go to the first, as numpy's argmax does."""
    return graph.op("ArgMax", scores, axis=1, keepdims=0)


def two_columns(graph: Graph, second: str) -> str:
    """Return probabilities (rows, 2) from those of the second class, (rows, 1)."""
    return graph.op("Concat", graph.op("Sub", graph.constant(1), second), second, axis=1)


def from_scores(graph: Graph, scores: Block, classes: NDArray[Any], *, slack: float = 0.0) -> tuple[Outputs, str]:
    """Return the label of the highest score (of a single column: whether it is above 0), and the scores.

    Rows are guarded: a row is sure only if its scores are finite and no rounding can change which one is the highest.
    `slack` is added to the error bound of each score.
    """
    assert scores.error is not None
    zero_or_nan = graph.op("Mul", scores.values, graph.constant(0))  # NaN where a score is not finite
    bound = graph.op("Add", graph.op("Sub", scores.error, zero_or_nan), graph.constant(slack))
    if scores.width == 1:
        size = graph.op("Abs", scores.values)
        graph.guard_all(graph.op("GreaterOrEqual", graph.op("Sub", size, bound), graph.constant(0)))
        above = graph.op("Greater", graph.flat(scores.values), graph.constant(0))
        position = graph.cast(above, np.int64)
    else:
        two = graph.op("TopK", scores.values, graph.constant([2], np.int64), axis=1, unused=1)
        gap = graph.op("Sub", graph.columns(two, [0]), graph.columns(two, [1]))
        widest = graph.op("ReduceMax", bound, axes=[1], keepdims=1)
        both = graph.op("Add", widest, widest)
        graph.guard_all(graph.op("GreaterOrEqual", graph.op("Sub", gap, both), graph.constant(0)))
        position = first_largest(graph, scores.values)
    guard_tolerance(graph, scores)
    return labels(graph, position, classes), scores.values


def guard_tolerance(graph: Graph, values: Block) -> None:
    """Guard that values are finite and their error bounds within the tolerance."""
    assert values.error is not None
    zero_or_nan = graph.op("Mul", values.values, graph.constant(0))
    allowed = graph.op("Max", graph.op("Abs", values.values), graph.constant(1))
    allowed = graph.op("Add", graph.op("Mul", allowed, graph.constant(TOLERANCE)), zero_or_nan)
    graph.guard_all(graph.op("LessOrEqual", values.error, allowed))


def regression(graph: Graph, values: Block, *, flat: bool) -> Outputs:
    """Return the output `value`, (rows,) if `flat`, else (rows, width)."""
    if values.error is not None:
        guard_tolerance(graph, values)
    if flat:
        return {"value": (graph.flat(values.values), np.float64, None)}
    return {"value": (values.values, np.float64, values.width)}


def product(graph: Graph, block: Block, weights: NDArray[np.float64], shift: NDArray[np.float64]) -> Block:
    """Return block @ weights + shift, with a bound on how much the order of summing can change it (weights: (width, outputs)).

    The bound on the error of an inner product of n terms is n * unit * sum |x||w| (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1); doubled here for the two sums, with a tenth more for the rounding of the bound itself.
    """
    values = graph.op(
        "Add", graph.op("MatMul", block.values, graph.constant(weights)), graph.constant(shift.reshape(1, -1))
    )
    share = 2.2 * (block.width + 2) * UNIT
    size = graph.op("Abs", block.values)
    error = graph.op(
        "Add",
        graph.op("MatMul", size, graph.constant(share * np.abs(weights))),
        graph.constant(share * np.abs(shift.reshape(1, -1))),
    )
    if block.error is not None:
        error = graph.op("Add", error, graph.op("MatMul", block.error, graph.constant(1.01 * np.abs(weights))))
    return Block(values, weights.shape[1], error)
