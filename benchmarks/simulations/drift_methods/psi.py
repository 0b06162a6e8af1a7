"""The population stability index, with its usual limit.

Siddiqi, "Credit Risk Scorecards", 2006: the sum over bins of (p - q) ln(p / q), by the reference's ten quantiles; above 0.2
(0.25 in some texts) the population has shifted. A bin without rows counts as a share of 0.0001. Missing values are a bin of
their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT, BINS, LEAST_SHARE = 0.2, 10, 1e-4


def psi(reference: NDArray[Any], window: NDArray[Any]) -> float:
    """Return the index of one feature's values; texts are bins by themselves."""
    if reference.dtype == object:
        words, places = np.unique(np.r_[reference, window].astype(str), return_inverse=True)
        counts = [np.bincount(part, minlength=len(words)) for part in np.split(places, [len(reference)])]
    else:
        inner = np.unique(np.nanquantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
        counts = [_counts(values, inner) for values in (reference, window)]
    p, q = (np.maximum(count / count.sum(), LEAST_SHARE) for count in counts)
    return float(((q - p) * np.log(q / p)).sum())


def _counts(values: NDArray[Any], inner: NDArray[np.float64]) -> NDArray[np.int64]:
    missing = np.isnan(values)
    places = np.where(missing, len(inner) + 1, np.searchsorted(inner, values, side="right"))
    return np.bincount(places, minlength=len(inner) + 2)


def drifts(reference: list[NDArray[Any]], window: list[NDArray[Any]]) -> bool:
    """Return whether any feature's index is above the limit."""
    return any(psi(*pair) > LIMIT for pair in zip(reference, window, strict=True))
