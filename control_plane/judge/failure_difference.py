"""How much more often the candidate fails than stable, with bounds that hold at all times together.

It counts the present share's requests: with another share, an hour that was bad for both would weigh on one version. Each change
of the share begins another confidence sequence with its part of the error probability, so that with 95 % none of the canary's
bounds ever misses. Requests with a routing key are left out: those of one user are not independent.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ...schemas.payloads.observations import Summary, VersionCounts
from ...schemas.payloads.releases import RunningCanary
from ...stats.confidence_sequence import Interval, difference_interval, share_of

CONFIDENCE = 0.95
_UNIT = "requests without a routing key, since the share last changed"


class FailureDifference(BaseModel):
    """Failures and requests of both versions since the share last changed, without those that have a routing key."""

    began_at: float | None = None
    number: int = 0
    candidate: tuple[int, int] = (0, 0)
    stable: tuple[int, int] = (0, 0)

    def take_in(self, summary: Summary, canary: RunningCanary) -> None:
        """Add a summary's counts."""
        if self.began_at != canary.plan.step_began_at:
            self.began_at, self.number = canary.plan.step_began_at, self.number + 1
            self.candidate = self.stable = (0, 0)
        self.candidate = _added(self.candidate, summary.versions.get(canary.candidate))
        self.stable = _added(self.stable, summary.versions.get(canary.stable))

    def interval(self) -> Interval | None:
        """Return the difference and its bounds; None while a version has no requests."""
        if not self.candidate[1] or not self.stable[1]:
            return None
        return difference_interval(self.candidate, self.stable, share_of(1 - CONFIDENCE, self.number))

    def document(self, margin: float | None) -> dict[str, Any]:
        """Return the difference, its bounds, the margin of a step and what is counted; null where nothing is known."""
        found = self.interval()
        estimate, low, high = (None,) * 3 if found is None else (round(value, 6) for value in found)
        return {
            "estimate": estimate,
            "low": low,
            "high": high,
            "margin": margin,
            "confidence": CONFIDENCE,
            "requests": [self.candidate[1], self.stable[1]],
            "unit": _UNIT,
        }


def _added(before: tuple[int, int], counts: VersionCounts | None) -> tuple[int, int]:
    if counts is None:
        return before
    return before[0] + counts.failed - counts.keyed_failed, before[1] + counts.requests - counts.keyed
