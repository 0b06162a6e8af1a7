"""Check whether a model's answer to a row depends on the other rows of the batch: then requests must not share a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..adapters.base import Predictor
from ..values.tensors import Tensors
from .parity import compare

_SINGLE_ROWS = 8  # rows that are also run one at a time
# The number of rows may change the order of summing, and so the last bits.
_ROUNDING = {"float64": 1e-8, "float32": 1e-4, "float16": 1e-2}


def batch_dependence(predictor: Predictor, inputs: Tensors) -> str:
    """Describe how the answer to a row depends on the other rows of the batch; "" if these rows show no dependence.

    The rows are run together, one at a time, in reverse order, each twice, and along with rows of extreme values. For a
    nondeterministic model the result is "", since its answers cannot be compared.
    """
    rows = len(next(iter(inputs.values())))
    every = np.arange(rows)
    together = predictor.predict(inputs)
    if any(array.ndim == 0 or len(array) != rows for array in together.values()):
        return "there is not one answer for each row"
    if not _equal(together, predictor.predict(inputs), every):
        return ""
    for row in range(min(rows, _SINGLE_ROWS)):
        if not _same(predictor, inputs, together, every[row : row + 1]):
            return "a row alone gets another answer than in a batch"
    if not _same(predictor, inputs, together, every[::-1]):
        return "rows get other answers in another order"
    if not _same(predictor, inputs, together, np.repeat(every, 2)):
        return "rows get other answers if each is given twice"
    extreme = {name: np.concatenate([_extremes(array), array]) for name, array in inputs.items()}
    total = len(next(iter(extreme.values())))
    try:
        outputs = predictor.predict(extreme)
        if any(len(array) != total for array in outputs.values()):
            return "rows of extreme values are dropped"
        found = {name: array[total - rows :] for name, array in outputs.items()}
    except Exception:  # the model refuses such rows, so they never share a batch
        return ""
    return "" if _equal(together, found, every) else "rows get other answers in a batch with rows of extreme values"


def _same(predictor: Predictor, inputs: Tensors, together: Tensors, chosen: NDArray[np.intp]) -> bool:
    try:
        found = predictor.predict({name: array[chosen] for name, array in inputs.items()})
    except Exception:  # it answered these rows in the whole batch
        return False
    return _equal(together, found, chosen)


def _equal(together: Tensors, found: Tensors, chosen: NDArray[np.intp]) -> bool:
    if any(array.ndim == 0 or len(array) != len(chosen) for array in found.values()):
        return False
    kinds = {array.dtype.name for array in together.values() if array.dtype.kind == "f"}
    tolerance = max((_ROUNDING.get(kind, 1e-8) for kind in kinds), default=0.0)
    return compare({name: array[chosen] for name, array in together.items()}, found, tolerance).holds


def _extremes(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return two rows with far larger values, or unchanged ones if they are not floats."""
    # The sign is kept: values that no caller would send may crash the model.
    rows = array[:2]
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            far = rows * np.asarray(1e4 if array.dtype.itemsize > 2 else 1e2, array.dtype)
        return far if np.isfinite(far).all() else rows
    return rows
