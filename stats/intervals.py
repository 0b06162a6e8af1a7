"""Confidence intervals for proportions, their differences, and quantiles."""

from __future__ import annotations

import math

from scipy.special import bdtrc, ndtri

from .log_histogram import Bins, quantile


def wilson(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion (Wilson 1927); (0, 1) if `total` is 0."""
    if total == 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + confidence / 2))
    share = successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the exact value is 0 or 1; the formula would give it with a rounding error.
    return (middle - half if successes else 0.0), (middle + half if successes < total else 1.0)


def quantile_interval(bins: Bins, share: float, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Return limits of a quantile: those values whose ranks bound it (normal approximation of the binomial rank)."""
    total = sum(bins.values())
    if not total:
        return None, None
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt(share * (1 - share) / total)
    return quantile(bins, max(0.0, share - half)), quantile(bins, min(1.0, share + half))


def difference_interval(
    failed: tuple[int, int], total: tuple[int, int], confidence: float = 0.95
) -> tuple[float, float]:
    """Return limits for the second proportion less the first (Newcombe 1998, method 10); (-1, 1) where one has no data."""
    if 0 in total:
        return -1.0, 1.0
    (low_a, high_a), (low_b, high_b) = (wilson(k, n, confidence) for k, n in zip(failed, total, strict=True))
    a, b = (k / n for k, n in zip(failed, total, strict=True))
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


def binomial_tail(successes: int, total: int, share: float) -> float:
    """Return the probability of at least so many successes in a binomial with that share (an exact one-sided p-value)."""
    return float(bdtrc(successes - 1, total, share)) if successes else 1.0
