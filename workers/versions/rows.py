"""Rows of a batch."""

from __future__ import annotations

import numpy as np

from ...models.values.tensors import Tensors
from ...schemas.errors import ModelFailed


def rows_of(tensors: Tensors, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Tensors:
    """Return these rows of each tensor."""
    return {name: array[rows] for name, array in tensors.items()}


def checked(outputs: Tensors, rows: int) -> Tensors:
    """Return the outputs. Raises ModelFailed unless each has one row per input row; callers could get others' rows."""
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            found = len(array) if array.ndim else "no"
            raise ModelFailed(f"the model gave {found} rows of {name} for {rows}: one row in, one row out")
    return outputs
