"""Sizes of what ONNX's operators for learned models give, those of which onnx itself says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_FLOAT, _INT64, _STRING = 1, 7, 8
_ALIKE = ("Binarizer", "Imputer")  # an element for an element, of its type
_FLOATS = ("Normalizer", "Scaler")
_REGRESSORS = {"LinearRegressor": "targets", "SVMRegressor": "", "TreeEnsembleRegressor": "n_targets"}
_CLASSIFIERS = {
    "LinearClassifier": ("classlabels_strings", "classlabels_ints"),
    "TreeEnsembleClassifier": ("classlabels_strings", "classlabels_int64s"),
}


def ml_output_shapes(node: Any, element: int, sizes: Sequence[Any]) -> list[tuple[int, list[Any]]] | None:
    """Return the type of elements and the sizes of each output; plain numbers are sizes too. None where nothing is known.

    `element` and `sizes` are those of the first input, a matrix with a row for each row of the answer.
    """
    if len(sizes) != 2:
        return None
    kind, attributes = node.op_type, {each.name: each for each in node.attribute}
    if kind in _ALIKE:
        return [(element, list(sizes))]
    if kind in _FLOATS:
        return [(_FLOAT, list(sizes))]
    if kind in _REGRESSORS:
        said = attributes.get(_REGRESSORS[kind])
        width = said.i if said is not None else 1 if kind != "TreeEnsembleRegressor" else 0
        return [(_FLOAT, [sizes[0], width])] if width > 0 else None
    if kind in _CLASSIFIERS:
        texts, numbers = (attributes.get(name) for name in _CLASSIFIERS[kind])
        labels = len(texts.strings) if texts is not None else len(numbers.ints) if numbers is not None else 0
        if labels > 1:  # of one class there may be a column more than labels
            return [(_STRING if texts is not None else _INT64, [sizes[0]]), (_FLOAT, [sizes[0], labels])]
    return None
