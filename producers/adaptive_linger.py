"""How long a request waits for others before it is sent, so that they share exchanges with Kafka.

An exchange costs the broker and its client hundreds of microseconds, however many records it carries. Requests that leave
together also arrive together at the router and the worker, and their answers come back together.
"""

from __future__ import annotations

SHARE = 0.1  # of the recent time of an answer
MAX_SECONDS = 0.005
# The weight of the newest answer in the average.
SMOOTHING = 0.05


class AdaptiveLinger:
    """Waits a tenth of the recent time of an answer, and 5 ms at most: hardly at all while answers are fast."""

    def __init__(self) -> None:
        self._answer_seconds = 0.0

    def answered(self, seconds: float) -> None:
        """Record the time of an answer."""
        self._answer_seconds += SMOOTHING * (seconds - self._answer_seconds)

    def seconds(self, in_flight: int) -> float:
        """Return how long to wait; 0 if the request is the only one in flight, since then probably no other comes."""
        return min(MAX_SECONDS, SHARE * self._answer_seconds) if in_flight > 1 else 0.0
