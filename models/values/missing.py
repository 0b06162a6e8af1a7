"""Find out which columns of a model accept a missing value, by running it on rows with missing values."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.payloads.signatures import TensorSpec
from ..adapters.base import Predictor
from .tensors import Tensors

# For all columns together; columns that were not tried in time accept none.
MAX_SECONDS = 10.0
# The columns of a wider matrix are not tried one by one.
MAX_COLUMNS = 128


def find_missing(predictor: Predictor, inputs: Tensors, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the specs with `missing` set if the model answers a row with a missing value, or the sample has some.

    An answer of NaN because of the missing value does not count. One such column of a matrix is enough: for the others, the
    model's own error is reported.
    """
    deadline = time.monotonic() + MAX_SECONDS
    one = {name: array[:1] for name, array in inputs.items()}
    try:
        usual = predictor.predict(one)
    except Exception:  # an error on a single row is reported elsewhere
        return tuple(spec.model_copy(update={"missing": _has_gaps(inputs[spec.name])}) for spec in specs)
    gaps = {spec.name: _gaps(one[spec.name], spec) for spec in specs}
    all_at_once = {name: rows[0] for name, rows in gaps.items() if rows}
    if _answers(predictor, one | all_at_once, usual):
        return tuple(spec.model_copy(update={"missing": spec.name in all_at_once or spec.missing}) for spec in specs)
    found = []
    for spec in specs:
        takes = spec.missing or _has_gaps(inputs[spec.name])
        for gap in [] if takes else gaps[spec.name]:
            if time.monotonic() > deadline:
                break
            if takes := _answers(predictor, one | {spec.name: gap}, usual):
                break
        found.append(spec.model_copy(update={"missing": takes}))
    return tuple(found)


def _has_gaps(array: NDArray[Any]) -> bool:
    if array.dtype.kind == "O":
        return any(value is None for value in array.ravel().tolist())
    return array.dtype.kind in "fM" and bool(
        np.isnat(array).any() if array.dtype.kind == "M" else np.isnan(array).any()
    )


def _gaps(row: NDArray[Any], spec: TensorSpec) -> list[NDArray[Any]]:
    """Return the row with all values missing, then with one at a time; empty for types without a missing value."""
    if row.dtype.kind in "iub":
        if not spec.pandas or spec.pandas == "DataFrame":
            return []
        row = row.astype(np.float64 if row.dtype.kind in "iu" else object)
    gap: Any = None if row.dtype.kind == "O" else np.array("NaT" if row.dtype.kind == "M" else np.nan, row.dtype)
    rows = [np.full_like(row, gap)]
    if 1 < row.size <= MAX_COLUMNS:
        for position in range(row.size):
            rows.append(row.copy())
            rows[-1].reshape(-1)[position] = gap
    return rows


def _answers(predictor: Predictor, row: Tensors, usual: Tensors) -> bool:
    try:
        outputs = predictor.predict(row)
    except Exception:  # the model is untrusted code: it can raise anything
        return False
    for name, array in outputs.items():
        if len(array) != 1:
            return False
        before = usual.get(name)
        if before is not None and _unanswered(array) > _unanswered(before):
            return False
    return True


def _unanswered(array: NDArray[Any]) -> int:
    """Return the number of missing values in an answer."""
    if array.dtype.kind == "f":
        return int(np.isnan(array).sum())
    if array.dtype.kind != "O":
        return 0
    return sum(value is None or (isinstance(value, float) and value != value) for value in array.ravel().tolist())
