"""Flagger's canary analysis, with its two built-in checks.

docs.flagger.app, "How it works" and "Metrics Analysis": each `interval` the share of successful requests must be at least 99
% and the p99 of the latency at most 500 ms, both over the metric's own interval; a run in which a check fails counts as one
failed check, and at `threshold` failed checks the canary is rolled back. A run without requests fails too. Flagger reads the
p99 from a Prometheus histogram; here it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..judged.traffic import Requests
from .method import looks


@dataclass(frozen=True)
class Flagger:
    """Seconds between runs, seconds of each metric, and the failed checks that end it; "How it works" has 60, 60 and 10."""

    interval: float = 60.0
    window: float = 60.0
    threshold: int = 10
    least_success: float = 0.99
    most_ms: float = 500.0
    name: str = "Flagger, 1 min, 10 checks"
    unseen: str = (
        "stable: what fails on both counts against the candidate; failures below 1 %, latency below 500 ms; users"
    )

    def rollback_at(self, found: Requests, seconds: float) -> float | None:
        mine = found.candidate
        done, ms, failed = found.done[mine], found.ms[mine], found.failed[mine]
        failures = 0
        for at in looks(self.interval, seconds):
            begin, end = np.searchsorted(done, [at - self.window, at], side="right")
            good = end > begin and 1 - failed[begin:end].mean() >= self.least_success
            failures += not (good and np.quantile(ms[begin:end], 0.99) <= self.most_ms)
            if failures >= self.threshold:
                return float(at)
        return None


# The tutorials (Skipper, for one) look every 10 s at the last minute.
TUTORIAL = Flagger(interval=10.0, name="Flagger, 10 s, 10 checks")
