"""Output shapes of the ai.onnx.ml operators for which onnx has no shape inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_FLOAT, _INT64, _STRING = 1, 7, 8
_SAME_TYPE = ("Binarizer", "Imputer")  # elementwise, type unchanged
_FLOATS = ("Normalizer", "Scaler")
_REGRESSORS = {"LinearRegressor": "targets", "SVMRegressor": "", "TreeEnsembleRegressor": "n_targets"}
_CLASSIFIERS = {
    "LinearClassifier": ("classlabels_strings", "classlabels_ints"),
    "TreeEnsembleClassifier": ("classlabels_strings", "classlabels_int64s"),
}


def ml_output_shapes(node: Any, element: int, sizes: Sequence[Any]) -> list[tuple[int, list[Any]]] | None:
    """Return the element type and the sizes (`Size` or int) of each output, or None if they are not known.

    `element` and `sizes` are those of the first input, a matrix with one row for each row of the answer.
    """
    if len(sizes) != 2:
        return None
    kind, attributes = node.op_type, {each.name: each for each in node.attribute}
    if kind in _SAME_TYPE:
        return [(element, list(sizes))]
    if kind in _FLOATS:
        return [(_FLOAT, list(sizes))]
    if kind in _REGRESSORS:
        targets = attributes.get(_REGRESSORS[kind])
        width = targets.i if targets is not None else 1 if kind != "TreeEnsembleRegressor" else 0
        return [(_FLOAT, [sizes[0], width])] if width > 0 else None
    if kind in _CLASSIFIERS:
        texts, numbers = (attributes.get(name) for name in _CLASSIFIERS[kind])
        labels = len(texts.strings) if texts is not None else len(numbers.ints) if numbers is not None else 0
        if labels > 1:  # a classifier of one class may have one column more than labels
            return [(_STRING if texts is not None else _INT64, [sizes[0]]), (_FLOAT, [sizes[0], labels])]
    return None
