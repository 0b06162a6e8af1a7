"""Is a rate above a tolerance? A sequential test and an interval for a stream of yes or no, both valid at any stopping time.

If each observation is a yes with a probability of at most t, given those before it, then for any q > t the likelihood ratio
(q/t)^k ((1-q)/(1-t))^(n-k) after k of n is a supermartingale that starts at 1, and so is its mean over q, taken uniformly over
(t, 1). By Ville's inequality ("Etude critique de la notion de collectif", 1939) it ever exceeds 1/alpha with a probability of at
most alpha. The mean is the method of mixtures (Robbins, "Statistical methods related to the law of the iterated logarithm",
Annals of Mathematical Statistics 41, 1970; Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference", 2023).
It has a closed form in k and n, so these two counts are the whole state.

The interval has the rates p that the same mixture over (0, 1) does not reject as the rate of independent observations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import betainc, betaln, xlog1py, xlogy

# Halvings of an interval of at most 1: the limits are exact to the last digits of a float.
_HALVINGS = 60
_LEAST = 1e-300


def log_evidence(observations: int, hits: int, tolerance: float) -> float:
    """Return the log of the evidence against "the rate is at most `tolerance`" (from 0 to below 1) after so many observations."""
    misses = observations - hits
    mean = float(betaln(hits + 1, misses + 1))
    if tolerance == 0:
        return math.inf if hits else mean
    above = float(betainc(misses + 1, hits + 1, 1 - tolerance))  # the part of the mixture above the tolerance
    if above < _LEAST:
        return -math.inf  # far below the tolerance
    return (
        mean + math.log(above) - math.log1p(-tolerance) - hits * math.log(tolerance) - misses * math.log1p(-tolerance)
    )


def rate_interval(observations: int, hits: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return limits that contain the rate at all times together with this probability: a confidence sequence."""
    if not observations:
        return 0.0, 1.0
    misses = observations - hits
    most = -math.log1p(-confidence) - float(betaln(hits + 1, misses + 1))

    def inside(rate: float) -> bool:
        return float(-xlogy(hits, rate) - xlog1py(misses, -rate)) <= most

    share = hits / observations
    return (_edge(inside, share, 0.0) if hits else 0.0), (_edge(inside, share, 1.0) if misses else 1.0)


def _edge(inside: Callable[[float], bool], within: float, outside: float) -> float:
    for _ in range(_HALVINGS):
        middle = (within + outside) / 2
        within, outside = (middle, outside) if inside(middle) else (within, middle)
    return within
