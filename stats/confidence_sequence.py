"""Confidence sequences: intervals for a failure rate, and for the difference of two, that hold at all times together.

An ordinary 95 % interval that is looked at again and again misses the truth some time. These intervals may be looked at
after every request, and stopped at any: with a probability of at least 1 - alpha none of them ever misses.

One arm: whatever the requests' failure probabilities p_i are, exp(lam S - sum log(1 - p_i + p_i e^lam)) is a martingale,
S being the failures so far. The logarithm is concave in p_i, so by Jensen's inequality exp(lam S - n log(1 - p + p
e^lam)), p being the mean of the p_i so far, is never above it. The mean over several lam is not above a martingale with
mean 1 either, so by Ville's inequality (1939) it ever reaches 1/alpha with a probability of at most alpha: the interval
has all p for which it is below that. As in `stats.two_sample`, lam is the log of an odds ratio, and the evidence is a
mean over a few of them. Source: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
sequences", Annals of Statistics 49(2), 2021 (sub-Bernoulli processes, discrete mixtures). The rate may change with time:
the interval is for its mean over the requests so far.

Two arms: the difference of two such intervals with alpha / 2 each (union bound). Turner and Gruenwald, "Exact anytime-
valid confidence intervals for contingency tables and beyond", Statistics & Probability Letters 198, 2023, invert one
joint test instead: narrower, by a search over the nuisance rate for each bound.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# Log odds ratios, each twice the one before: 1/32 finds the rate of some 10,000 failures, 4 bounds the rate of none.
_SIZES = 2.0 ** np.arange(-5, 3)
_TILTS = np.concatenate((-_SIZES, _SIZES))
_FACTORS = np.expm1(_TILTS)
_BISECTIONS = 24


class Interval(NamedTuple):
    """The observed value and its bounds."""

    estimate: float
    low: float
    high: float


def log_evidence(failed: int, requests: int, rate: float) -> float:
    """Return the log of the evidence that the mean failure rate is not `rate`; infinite where it is impossible."""
    if (rate <= 0 and failed) or (rate >= 1 and failed < requests):
        return math.inf
    logs = _TILTS * failed - requests * np.log1p(min(max(rate, 0.0), 1.0) * _FACTORS)
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def rate_interval(failed: int, requests: int, alpha: float) -> Interval:
    """Return the bounds of a failure rate, which hold at all times together with a probability of at least 1 - `alpha`."""
    if not requests:
        return Interval(0.0, 0.0, 1.0)
    rate, limit = failed / requests, -math.log(alpha)
    # A mean of exponentials of convex functions of the rate is convex, and at most 1 at the estimate.
    bounds = []
    for end in (0.0, 1.0):
        inside, outside = rate, end
        if log_evidence(failed, requests, end) < limit:
            inside = end
        else:
            for _ in range(_BISECTIONS):
                middle = (inside + outside) / 2
                if log_evidence(failed, requests, middle) < limit:
                    inside = middle
                else:
                    outside = middle
            inside = outside  # never too narrow by the last step
        bounds.append(inside)
    return Interval(rate, bounds[0], bounds[1])


def difference_interval(candidate: tuple[int, int], stable: tuple[int, int], alpha: float) -> Interval:
    """Return the bounds of the candidate's failure rate less stable's, each given as failures and requests."""
    ours, theirs = (rate_interval(*arm, alpha / 2) for arm in (candidate, stable))
    return Interval(ours.estimate - theirs.estimate, ours.low - theirs.high, ours.high - theirs.low)


def share_of(alpha: float, number: int) -> float:
    """Return the part of `alpha` for the `number`-th sequence from 1 on: the parts of all of them add up to `alpha`."""
    return alpha / (number * (number + 1))
