"""Argo Rollouts: an AnalysisTemplate on the success rate.

argo-rollouts.readthedocs.io, "Analysis & Progressive Delivery": each `interval` a query measures the candidate's share of
successes; a measurement that misses the success condition (0.95 in the documentation's templates) is failed, and the
analysis fails with more than `failureLimit` of them (default 0). The template of the background analysis has 5 minutes and a
limit of 3, the one of a step `interval: 60s`, `count: 5` and no limit. The queries take the success rate over the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..judged.traffic import Requests
from .method import looks


@dataclass(frozen=True)
class ArgoRollouts:
    """Seconds between measurements, failed ones that are allowed, and how many are made (None: until the end)."""

    interval: float = 300.0
    failure_limit: int = 3
    count: int | None = None
    least_success: float = 0.95
    name: str = "Argo Rollouts, background, 5 min"
    unseen: str = (
        "no latency (the template has none); stable: what fails on both counts against the candidate; "
        "failures below 5 %; users"
    )

    def rollback_at(self, found: Requests, seconds: float) -> float | None:
        done, failed = found.done[found.candidate], found.failed[found.candidate]
        failures = 0
        for at in looks(self.interval, seconds)[: self.count]:
            begin, end = np.searchsorted(done, [at - self.interval, at], side="right")
            # No requests is no measurement: neither a success nor a failure.
            failures += end > begin and 1 - failed[begin:end].mean() < self.least_success
            if failures > self.failure_limit:
                return float(at)
        return None


STEP = ArgoRollouts(interval=60.0, failure_limit=0, count=5, name="Argo Rollouts, step, 5 times 1 min")
