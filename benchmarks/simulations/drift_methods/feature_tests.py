"""A test of each feature at 5 %: Kolmogorov-Smirnov for numbers, chi-squared for texts; with or without Bonferroni's
correction.

With the correction this is the default of alibi-detect's KSDrift and ChiSquareDrift (`p_val=0.05`,
`correction="bonferroni"`); without it, what dashboards show feature by feature. Missing values are left out, as both tests
need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp

LEVEL = 0.05


def p_value(reference: NDArray[Any], window: NDArray[Any]) -> float:
    """Return the p-value of one feature's values."""
    if reference.dtype == object:
        words, places = np.unique(np.r_[reference, window].astype(str), return_inverse=True)
        counts = np.array([np.bincount(part, minlength=len(words)) for part in np.split(places, [len(reference)])])
        return float(chi2_contingency(counts, correction=False).pvalue) if len(words) > 1 else 1.0
    known = [values[~np.isnan(values)] for values in (reference, window)]
    return float(ks_2samp(*known, method="asymp").pvalue) if all(map(len, known)) else 1.0


def drifts(reference: list[NDArray[Any]], window: list[NDArray[Any]], *, corrected: bool) -> bool:
    """Return whether any feature's p-value is below the level, divided by the number of features if `corrected`."""
    level = LEVEL / len(reference) if corrected else LEVEL
    return any(p_value(*pair) < level for pair in zip(reference, window, strict=True))
