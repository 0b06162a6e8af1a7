"""Whether a model's answer to a row depends on the rows beside it: then requests must not share a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..adapters.base import Predictor
from ..values.tensors import Tensors
from .parity import compare

# Rows that are asked one by one.
_ALONE = 8
# Sums are taken in another order where there are more rows: their last bits differ.
_ROUNDING = {"float64": 1e-8, "float32": 1e-4, "float16": 1e-2}


def batch_dependence(predictor: Predictor, inputs: Tensors) -> str:
    """Return in words how the answer to a row depends on its company; "" where it does not, as far as these rows show.

    The rows are asked together, one by one, in another order, each twice, and beside rows of extreme values. A model that
    gives the same rows another answer each time is not looked at: nothing could be told.
    """
    rows = len(next(iter(inputs.values())))
    every = np.arange(rows)
    together = predictor.predict(inputs)
    if any(array.ndim == 0 or len(array) != rows for array in together.values()):
        return "the answers are not one for each row"
    if not _alike(together, predictor.predict(inputs), every):
        return ""
    for row in range(min(rows, _ALONE)):
        if not _same(predictor, inputs, together, every[row : row + 1]):
            return "a row alone is answered otherwise than among others"
    if not _same(predictor, inputs, together, every[::-1]):
        return "rows are answered otherwise in another order"
    if not _same(predictor, inputs, together, np.repeat(every, 2)):
        return "a row that is given twice is answered otherwise"
    extreme = {name: np.concatenate([_extremes(array), array]) for name, array in inputs.items()}
    total = len(next(iter(extreme.values())))
    try:
        outputs = predictor.predict(extreme)
        if any(len(array) != total for array in outputs.values()):
            return "rows of extreme values are dropped"
        beside = {name: array[total - rows :] for name, array in outputs.items()}
    except Exception:  # the model refuses such rows, so they never share a batch
        return ""
    return "" if _alike(together, beside, every) else "rows are answered otherwise beside rows of extreme values"


def _same(predictor: Predictor, inputs: Tensors, together: Tensors, chosen: NDArray[np.intp]) -> bool:
    try:
        found = predictor.predict({name: array[chosen] for name, array in inputs.items()})
    except Exception:  # it answered these rows among others
        return False
    return _alike(together, found, chosen)


def _alike(together: Tensors, found: Tensors, chosen: NDArray[np.intp]) -> bool:
    if any(array.ndim == 0 or len(array) != len(chosen) for array in found.values()):
        return False
    kinds = {array.dtype.name for array in together.values() if array.dtype.kind == "f"}
    tolerance = max((_ROUNDING.get(kind, 1e-8) for kind in kinds), default=0.0)
    return compare({name: array[chosen] for name, array in together.items()}, found, tolerance).holds


def _extremes(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return rows of the same type far from the given ones, or the given ones again where they are no numbers."""
    # Of the same sign: what no caller would send may well be what the model does not survive.
    some = array[:2]
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            far = some * np.asarray(1e4 if array.dtype.itemsize > 2 else 1e2, array.dtype)
        return far if np.isfinite(far).all() else some
    return some
