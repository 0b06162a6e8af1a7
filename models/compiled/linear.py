"""Linear models and multilayer perceptrons, with a bound on how much the order of summing can change a result."""

from __future__ import annotations

from typing import Any

import numpy as np

from .answers import Outputs, from_scores, product, regression, two_columns
from .graph import UNIT, Block, Graph, NotCompiled, double

_ACTIVATION_ERROR = 8 * UNIT  # between two libraries' tanh or logistic function, whose values are at most 1


def linear_classifier(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add scores, the label of the highest, and probabilities if the model has them."""
    binarizer = getattr(model, "_label_binarizer", None)
    if binarizer is not None and binarizer.y_type_ not in ("binary", "multiclass"):
        raise NotCompiled("it has several outputs")
    weights = np.atleast_2d(double(model.coef_)).T
    shift = np.broadcast_to(double(np.asarray(model.intercept_, np.float64)), weights.shape[1])
    found, raw = from_scores(graph, product(graph, block, weights, shift), np.asarray(model.classes_))
    if not hasattr(model, "predict_proba"):
        return found
    if getattr(model, "loss", "log_loss") != "log_loss":
        raise NotCompiled(f"probabilities of the loss {model.loss} are not supported")
    if weights.shape[1] == 1:
        probabilities = two_columns(graph, graph.op("Sigmoid", raw))
    elif type(model).__name__.startswith("SGD"):
        raise NotCompiled("one-versus-rest probabilities are not supported")
    else:
        probabilities = graph.op("Softmax", raw, axis=1)
    return {**found, "probabilities": (probabilities, np.float64, max(2, weights.shape[1]))}


def linear_regressor(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add the weighted sum."""
    coefficients = double(model.coef_)
    flat = coefficients.ndim == 1 and np.ndim(model.intercept_) == 0
    weights = coefficients.reshape(-1, 1) if coefficients.ndim == 1 else coefficients.T
    shift = np.broadcast_to(double(np.asarray(model.intercept_, np.float64)), weights.shape[1])
    if np.ndim(model.intercept_) > 1 or (coefficients.ndim == 1 and np.size(model.intercept_) != 1):
        raise NotCompiled("its intercept has another shape than its weights")
    return regression(graph, product(graph, block, weights, shift), flat=flat or coefficients.ndim == 1)


def _hidden(graph: Graph, block: Block, activation: str) -> Block:
    if activation == "identity":
        return block
    kind = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}[activation]
    error = block.error
    assert error is not None
    if activation != "relu":  # the slopes of the other two are at most 1
        error = graph.op("Add", error, graph.constant(_ACTIVATION_ERROR))
    return Block(graph.op(kind, block.values), block.width, error)


def _last_sums(graph: Graph, model: Any, block: Block) -> Block:
    for at, (weights, shift) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        block = product(graph, block, double(weights), double(shift))
        if at < len(model.coefs_) - 1:
            block = _hidden(graph, block, model.activation)
    return block


def perceptron_classifier(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add a perceptron with one softmax or logistic output."""
    if model.out_activation_ not in ("softmax", "logistic") or model._label_binarizer.y_type_ not in (
        "binary",
        "multiclass",
    ):
        raise NotCompiled("it has several outputs")
    # The model compares the outputs of the last activation, so its rounding counts too.
    found, raw = from_scores(graph, _last_sums(graph, model, block), np.asarray(model.classes_), slack=16 * UNIT)
    if model.out_activation_ == "softmax":
        return {**found, "probabilities": (graph.op("Softmax", raw, axis=1), np.float64, len(model.classes_))}
    return {**found, "probabilities": (two_columns(graph, graph.op("Sigmoid", raw)), np.float64, 2)}


def perceptron_regressor(graph: Graph, model: Any, block: Block) -> Outputs:
    """Add a perceptron that ends in sums."""
    if model.out_activation_ != "identity":
        raise NotCompiled(f"it ends in {model.out_activation_}")
    sums = _last_sums(graph, model, block)
    return regression(graph, sums, flat=sums.width == 1)
