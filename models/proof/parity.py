"""Compare the answers of two forms of a model: labels by value and type, numbers within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..values.tensors import Tensors

TOLERANCE = 1e-5  # for forms that compute in float32


@dataclass(frozen=True, slots=True)
class Parity:
    """The difference between the answers of two forms on the same rows."""

    rows: int
    labels_equal: bool
    largest_difference: float
    why: str = ""
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether labels are equal, and numbers within the tolerance (relative above 1)."""
        return not self.why and self.labels_equal and self.largest_difference <= self.tolerance


def compare(expected: Tensors, found: Tensors, tolerance: float = TOLERANCE) -> Parity:
    """Compare two forms' outputs for the same rows. A missing output, another shape or another kind of number breaks parity.

    Floats are compared within the tolerance, except as a classifier's labels.
    """
    rows = len(next(iter(expected.values())))
    if missing := expected.keys() - found.keys():
        return Parity(rows, False, float("inf"), f"the compiled form lacks {', '.join(sorted(missing))}", tolerance)
    labels_equal, largest = True, 0.0
    for name, want in expected.items():
        have = found[name]
        if have.shape != want.shape:
            return Parity(rows, False, float("inf"), f"{name} has shape {have.shape}, not {want.shape}", tolerance)
        if want.dtype.kind == "f" and name != "label":
            if have.dtype.kind != "f":
                return Parity(rows, False, float("inf"), f"{name} is {have.dtype}, not {want.dtype}", tolerance)
            largest = max(largest, _largest_difference(want, have))
        else:
            labels_equal = labels_equal and same_labels(want, have)
    return Parity(rows, labels_equal, largest, "", tolerance)


def _largest_difference(want: NDArray[Any], have: NDArray[Any]) -> float:
    """Return the largest difference, relative above 1. NaN equals NaN, and an infinity equals itself."""
    wide = have.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(wide - want) / np.maximum(1.0, np.abs(want))
    difference[(wide == want) | (np.isnan(want) & np.isnan(wide))] = 0.0
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def same_labels(want: NDArray[Any], have: NDArray[Any]) -> bool:
    """Whether all labels are equal in value and type, as a caller sees them: 1 is neither 1.0 nor "1" nor true."""
    if want.dtype == have.dtype and want.dtype.kind in "iub":
        return np.array_equal(want, have)
    ours, theirs = want.ravel().tolist(), have.ravel().tolist()
    return all(type(a) is type(b) and (a == b or (a != a and b != b)) for a, b in zip(ours, theirs, strict=True))
