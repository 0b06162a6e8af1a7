"""Whether two forms of a model give the same answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tensors import Tensors

TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the answers of two forms lie apart on the same rows."""

    rows: int
    labels_equal: bool
    largest_difference: float
    why: str = ""

    @property
    def holds(self) -> bool:
        """Labels are equal, and numbers within `TOLERANCE` (relative above 1)."""
        return not self.why and self.labels_equal and self.largest_difference <= TOLERANCE


def compare(expected: Tensors, found: Tensors) -> Parity:
    """Compare two forms' outputs for the same rows; a missing output or another shape is no parity."""
    rows = len(next(iter(expected.values())))
    if missing := expected.keys() - found.keys():
        return Parity(rows, False, float("inf"), f"the compiled form lacks {', '.join(sorted(missing))}")
    labels_equal, largest = True, 0.0
    for name, want in expected.items():
        have = found[name]
        if have.shape != want.shape:
            return Parity(rows, False, float("inf"), f"{name} has shape {have.shape}, not {want.shape}")
        if want.dtype.kind == "f":
            scale = np.maximum(1.0, np.abs(want))
            difference = np.abs(have.astype(np.float64) - want) / scale
            both_nan = np.isnan(want) & np.isnan(have.astype(np.float64))
            difference = np.where(both_nan, 0.0, difference)
            largest = max(largest, float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0)))
        else:
            labels_equal = labels_equal and bool(np.array_equal(have.astype(str), want.astype(str)))
    return Parity(rows, labels_equal, largest)
