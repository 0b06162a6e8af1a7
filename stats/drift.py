"""The distance of a window of rows from the reference as people know it: PSI and KS on the same bins. They raise no alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = Sequence[int] | NDArray[Any]

# The count of an empty bin in PSI: half a row. Without it one unseen category would make PSI infinite.
EMPTY = 0.5


def psi(reference: Counts, window: Counts) -> float:
    """Return the population stability index, sum of (a - b) ln(a / b) over the bins' shares a, b; 0 if either is empty."""
    a, b = np.asarray(reference, float), np.asarray(window, float)
    if not a.sum() or not b.sum():
        return 0.0
    there = (a > 0) | (b > 0)
    p, q = (np.maximum(counts[there], EMPTY) / counts.sum() for counts in (a, b))
    return float(np.sum((p - q) * np.log(p / q)))


def ks(reference: Counts, window: Counts) -> float:
    """Return the Kolmogorov-Smirnov statistic at the bins' edges: at most that of the raw values, and near it for fine bins."""
    a, b = np.asarray(reference, float), np.asarray(window, float)
    if not a.sum() or not b.sum():
        return 0.0
    return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())


@dataclass(frozen=True, slots=True)
class FeatureDistance:
    """One feature's distance from the reference; `ks` is None for categories."""

    feature: str
    psi: float
    ks: float | None


def distance_of(feature: str, reference: Counts, window: Counts, *, ordered: int) -> FeatureDistance:
    """Compare one feature's counts; the first `ordered` bins are in order and have a KS statistic (0: categories)."""
    distance = ks(reference[:ordered], window[:ordered]) if ordered else None
    return FeatureDistance(feature, psi(reference, window), distance)
