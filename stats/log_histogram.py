"""A mergeable sketch of positive numbers, from which any quantile can be read within 2 %.

Bins grow by a constant factor, as in DDSketch (Masson, Rim, Lee, "DDSketch: A fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019). Merging adds counts, so order and grouping do not matter.
"""

from __future__ import annotations

import math

ACCURACY = 0.02
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
_SMALLEST = 1e-3

Bins = dict[int, int]
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def bin_of(value: float) -> int:
    """Return the bin of a value; all values up to 0.001 share one."""
    return math.ceil(math.log(max(value, _SMALLEST)) / _LOG_GAMMA)


def bin_value(number: int) -> float:
    """Return the value that stands for a bin, within 2 % of each value in it."""
    return 2 * _GAMMA**number / (1 + _GAMMA)


def add_value(bins: Bins, value: float) -> None:
    """Count one value."""
    number = bin_of(value)
    bins[number] = bins.get(number, 0) + 1


def merge_bins(into: Bins, other: Bins) -> None:
    """Add the counts of another sketch."""
    for number, count in other.items():
        into[number] = into.get(number, 0) + count


def quantile_bin(bins: Bins, share: float) -> int | None:
    """Return the bin of the nearest-rank quantile; None if there are no values."""
    total = sum(bins.values())
    if not total:
        return None
    rank = max(1, math.ceil(share * total))
    seen = 0
    for number in sorted(bins):
        seen += bins[number]
        if seen >= rank:
            return number
    raise AssertionError("the counts add up")


def quantile(bins: Bins, share: float) -> float | None:
    """Return the quantile, within 2 %; None if there are no values."""
    number = quantile_bin(bins, share)
    return None if number is None else bin_value(number)


def percentiles(bins: Bins) -> dict[str, float | None]:
    """Return p50, p95 and p99; None each if there are no values."""
    return {name: quantile(bins, share) for name, share in PERCENTILES.items()}


def count_above(bins: Bins, number: int) -> int:
    """Return how many values lie in bins above this one."""
    return sum(count for other, count in bins.items() if other > number)
