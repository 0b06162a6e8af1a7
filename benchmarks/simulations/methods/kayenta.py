"""Kayenta's judge (NetflixACAJudge) on the failure rate, the mean and the p99 of the latency.

spinnaker.io, "How canary judgment works": each metric is a series of values, one an interval; a metric is High if the lower
end of the 98 % confidence interval of the difference (Mann-Whitney U, Hodges-Lehmann) is above 0.25 times the estimate. The
score is the share of metrics that pass, in percent. A score below the marginal threshold (75 here) fails; the pass threshold
(95) counts at the last judgement. The documentation recommends at least 50 values of each metric: values of 10 s, judged
every 10 minutes, growing. The confidence interval is the normal approximation (Hollander, Wolfe, "Nonparametric Statistical
Methods", 4.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from ..judged.traffic import Requests
from .method import looks

Floats = NDArray[np.float64]


def is_high(candidate: Floats, stable: Floats, tolerance: float = 0.25, confidence: float = 0.98) -> bool:
    """Return whether a metric of the candidate is higher, from its values and stable's without gaps."""
    n, m = len(candidate), len(stable)
    if not n or not m or (n == m and bool((candidate == stable).all())):
        return False
    apart = np.sort((candidate[:, None] - stable[None, :]).ravel())
    rank = n * m / 2 - norm.isf((1 - confidence) / 2) * math.sqrt(n * m * (n + m + 1) / 12)
    if rank < 1:
        return False  # too few values for this confidence: the interval has no lower end
    return bool(apart[int(rank) - 1] > tolerance * abs(float(np.median(apart))))


@dataclass(frozen=True)
class Kayenta:
    """Seconds of a value, and between judgements; scores in percent."""

    step: float = 10.0
    interval: float = 600.0
    marginal: float = 75.0
    passes: float = 95.0
    name: str = "Kayenta, every 10 min"
    unseen: str = "anything before its first judgement; which requests a value is of: no users"

    def rollback_at(self, found: Requests, seconds: float) -> float | None:
        ours, theirs = (_series(found, arm, looks(self.step, seconds)) for arm in (True, False))
        ends = looks(self.interval, seconds)
        for at in ends:
            count = round(at / self.step)
            passed = [not is_high(_known(a[:count]), _known(b[:count])) for a, b in zip(ours, theirs, strict=True)]
            score = 100 * sum(passed) / len(passed)
            if score < (self.passes if at == ends[-1] else self.marginal):
                return float(at)
        return None


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _series(found: Requests, of_candidate: bool, at: Floats) -> tuple[Floats, Floats, Floats]:
    """Return failure rate, mean ms and p99 ms of one version in each step; NaN without requests."""
    mine = found.candidate == of_candidate
    edges: NDArray[Any] = np.asarray(np.searchsorted(found.done[mine], np.r_[0.0, at], side="right"))
    ms, failed = found.ms[mine], found.failed[mine].astype(float)
    rows = [
        (failed[a:b].mean(), ms[a:b].mean(), np.quantile(ms[a:b], 0.99)) if b > a else (np.nan,) * 3
        for a, b in pairwise(edges.tolist())
    ]
    rates, means, tails = np.array(rows).T if rows else np.zeros((3, 0))
    return rates, means, tails
