"""The evidence of a trial over time, in at most MOST points.

When it is full, every second point is dropped and the interval doubles: the whole trial stays, with less resolution the longer
it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, Field

from ...stats.confidence_sequence import Interval

MOST = 120
INTERVAL = 5.0  # seconds between points at first
COMPARISONS = ("errors", "p50", "p95", "p99", "outputs", "pairs", "accuracy")
# A comparison decides at a log evidence of 5 to 10. More than this is of no interest, and would take more digits.
_LARGEST = 99.0

# Seconds since the beginning; the log evidence of each of COMPARISONS; the bounds of the difference of failure rates.
Point = tuple[float | None, ...]


class EvidenceHistory(BaseModel):
    """Points in the order of time; `began_at` is the time of the first, in seconds since the epoch."""

    began_at: float | None = None
    interval: float = INTERVAL
    points: list[Point] = Field(default_factory=list)

    def add(self, at: float, now: Callable[[], Point]) -> None:
        """Add the present point, given without its time, if the interval is over. Times that go back are left out."""
        if self.began_at is None:
            self.began_at = at
        elif at - self.began_at < (self.points[-1][0] or 0.0) + self.interval:
            return
        if len(self.points) >= MOST:
            self.points, self.interval = self.points[::2], 2 * self.interval
            if at - self.began_at < (self.points[-1][0] or 0.0) + self.interval:
                return
        self.points.append((round(at - self.began_at, 1), *now()))

    def document(self) -> dict[str, Any]:
        """Return the points with the names of their fields."""
        fields = ["seconds", *COMPARISONS, "difference_low", "difference_high"]
        return {"began_at": self.began_at, "interval": self.interval, "fields": fields, "points": self.points}


def point(logs: Mapping[str, float], difference: Interval | None) -> Point:
    """Return a point without its time."""
    strengths = (round(min(max(logs[name], -_LARGEST), _LARGEST), 2) for name in COMPARISONS)
    bounds = (None, None) if difference is None else (round(difference.low, 4), round(difference.high, 4))
    return (*strengths, *bounds)
