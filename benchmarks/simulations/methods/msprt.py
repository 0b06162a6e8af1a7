"""The mixture sequential probability ratio test, for failure rates and for mean latencies.

Johari, Koomen, Pekelis, Walsh, "Always Valid Inference: Continuous Monitoring of A/B Tests", Operations Research 70(3),
2022; Johari, Pekelis, Walsh, "Always valid inference: bringing sequential analysis to A/B testing", arXiv 1512.04922, and
"Peeking at A/B tests", KDD 2017. With a difference d of two means whose variance is v, and a normal prior on it with
variance t2, the ratio is

    sqrt(v / (v + t2)) exp(d^2 t2 / (2 v (v + t2)))

and the test rejects once it is above 1/alpha. The papers set t2 to the variance of the effects that are expected; here the
standard deviation is 2 points of failure rate, and half of the stable version's mean latency in these simulations (5 ms).
The variance is estimated (a normal approximation, as in the papers), so the guarantee holds for large samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..judged.traffic import Requests
from .method import looks, sums_at

Floats = NDArray[np.float64]
LEAST = 30  # requests of each version before the normal approximation is used


def log_ratio(difference: Floats, variance: Floats, prior: float) -> Floats:
    """Return the log of the mixture's likelihood ratio; `prior` is the standard deviation of the effects."""
    known = np.maximum(variance, 1e-300)
    wide = known + prior**2
    return np.where(variance > 0, 0.5 * np.log(known / wide) + difference**2 * prior**2 / (2 * known * wide), 0.0)


@dataclass(frozen=True)
class Msprt:
    """Both comparisons, each with half of alpha, looked at each second; a rollback needs the candidate to be the worse one."""

    alpha: float = 0.01
    failures_prior: float = 0.02
    latency_prior_ms: float = 5.0
    name: str = "mSPRT"
    unseen: str = (
        "takes requests as independent: neither stalls nor users; any difference of latency counts, however small"
    )

    def rollback_at(self, found: Requests, seconds: float) -> float | None:
        at = looks(1.0, seconds)
        limit = math.log(2 / self.alpha)
        counts = [sums_at(found, arm, np.ones(len(found.done)), at) for arm in (True, False)]
        enough = np.minimum(*counts) >= LEAST
        n, m = np.maximum(1, counts[0]), np.maximum(1, counts[1])
        failed = [sums_at(found, arm, found.failed.astype(float), at) for arm in (True, False)]
        pooled = (failed[0] + failed[1]) / (n + m)
        apart = failed[0] / n - failed[1] / m
        errors = log_ratio(apart, pooled * (1 - pooled) * (1 / n + 1 / m), self.failures_prior)
        means = [sums_at(found, arm, found.ms, at) / k for arm, k in ((True, n), (False, m))]
        squares = [sums_at(found, arm, found.ms**2, at) / k for arm, k in ((True, n), (False, m))]
        spread = [np.maximum(0.0, square - mean**2) for square, mean in zip(squares, means, strict=True)]
        latency = log_ratio(means[0] - means[1], spread[0] / n + spread[1] / m, self.latency_prior_ms)
        alarms = enough & (((errors >= limit) & (apart > 0)) | ((latency >= limit) & (means[0] > means[1])))
        return float(at[np.argmax(alarms)]) if alarms.any() else None
