"""The distance of a window of rows from the reference (PSI and KS on the same bins), and a sequential alarm on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, kstwobign

# The count of an empty bin in PSI: half a row. Without it one unseen category would make PSI infinite.
EMPTY = 0.5
SMALLEST_EXPECTED = 5.0


def psi(reference: Sequence[int], window: Sequence[int]) -> float:
    """Return the population stability index, sum of (a - b) ln(a / b) over the bins' shares a, b; 0 if either is empty."""
    a, b = np.asarray(reference, float), np.asarray(window, float)
    if not a.sum() or not b.sum():
        return 0.0
    there = (a > 0) | (b > 0)
    p, q = (np.maximum(counts[there], EMPTY) / counts.sum() for counts in (a, b))
    return float(np.sum((p - q) * np.log(p / q)))


def ks(reference: Sequence[int], window: Sequence[int]) -> float:
    """Return the Kolmogorov-Smirnov statistic at the bins' edges: at most that of the raw values, and near it for fine bins."""
    a, b = np.asarray(reference, float), np.asarray(window, float)
    if not a.sum() or not b.sum():
        return 0.0
    return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())


def ks_p(statistic: float, reference: int, window: int) -> float:
    """Return the statistic's p-value by its limit distribution; on bins it is conservative."""
    if not reference or not window:
        return 1.0
    return float(kstwobign.sf(statistic * math.sqrt(reference * window / (reference + window))))


def psi_p(reference: Sequence[int], window: Sequence[int]) -> float:
    """Return the p-value of Pearson's chi-squared test that both come from one distribution.

    n m / (n + m) PSI has the same limit distribution (Yurdakul, Naranjo, "Statistical properties of the population
    stability index", 2020), but Pearson's statistic keeps to it in small bins. Bins that expect fewer than 5 rows are pooled.
    """
    counts = np.asarray([reference, window], float)
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        return 1.0
    expected = totals * counts.sum(axis=0) / counts.sum()
    rare = expected.min(axis=0) < SMALLEST_EXPECTED
    pooled = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    expected = totals * pooled.sum(axis=0) / pooled.sum()
    # A pooled bin that is still rare is left out, as is an empty one.
    used = expected.min(axis=0) >= SMALLEST_EXPECTED / 2
    if used.sum() < 2:
        return 1.0
    statistic = ((pooled - expected)[:, used] ** 2 / expected[:, used]).sum()
    return float(chi2.sf(statistic, used.sum() - 1))


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature's distance from the reference. `p` is corrected for both tests and for the number of features."""

    feature: str
    psi: float
    ks: float | None
    p: float


def compare_feature(
    feature: str, reference: Sequence[int], window: Sequence[int], *, ordered: int, features: int
) -> FeatureDrift:
    """Compare one feature's counts; the first `ordered` bins are in order and have a KS statistic (0: categories)."""
    ps = [psi_p(reference, window)]
    distance = None
    if ordered:
        a, b = reference[:ordered], window[:ordered]
        distance = ks(a, b)
        ps.append(ks_p(distance, sum(a), sum(b)))
    return FeatureDrift(feature, psi(reference, window), distance, min(1.0, min(ps) * len(ps) * features))


def evidence_of(p: float) -> float:
    """Return a p-value as an e-value: the integral of k p^(k-1) over all k (Vovk, Wang, "E-values", 2021), capped."""
    p = min(max(p, 1e-30), 1.0)
    if p > 1 - 1e-6:
        return 0.5
    log = math.log(p)
    return (1 - p + p * log) / (p * log * log)


def next_alarm_level(level: float, p: float) -> float:
    """Return the alarm's level after a window whose smallest corrected p-value is `p`; it begins at 0.

    Shiryaev-Roberts: R = (R + 1) e. An alarm at R >= 1/a comes on average at most once in 1/a windows while nothing has
    changed, however often it is looked at (Shin, Ramdas, Rinaldo, "E-detectors", 2022).
    """
    return (level + 1) * evidence_of(p)
