"""Which replica gets a request: the better of two drawn at random (power of two choices).

Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996): two draws take away most of the imbalance of
one, and unlike "the least loaded of all" they do not send everybody to the same replica on the same stale news.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

RUN_SECONDS = 0.002
RUN_LENGTH = 32


@dataclass(slots=True)
class Target:
    """A replica that serves a version: the partition to reach it by, and what is known of its work."""

    replica: str
    partition: int
    waiting: int  # requests there, by its last heartbeat
    service_ms: float
    sent: int = 0  # requests sent to it since that heartbeat

    @property
    def load(self) -> float:
        """The estimated wait: requests in hand by the time that one batch takes."""
        return (self.waiting + self.sent + 1) * max(self.service_ms, 0.1)


class RunBalancer:
    """Keeps to a choice for a short run of requests, so that those who come together can share a batch.

    A fetch hands the router a few dozen requests within a millisecond. Drawing for each would halve every batch and double
    the records' round trips; drawing for none would be no balancing. A run ends after RUN_SECONDS or RUN_LENGTH requests.
    """

    def __init__(self, targets: Sequence[Target], draw: Callable[[int], int]) -> None:
        self.targets = targets
        self._draw = draw
        self._current: Target | None = None
        self._ends_at = 0.0
        self._left = 0

    def choose(self, now: float) -> Target:
        """Return the target of one request; there must be one at least."""
        if self._current is None or self._left == 0 or now >= self._ends_at:
            self._current = choose(self.targets, self._draw)
            self._ends_at = now + RUN_SECONDS
            self._left = RUN_LENGTH
        self._left -= 1
        self._current.sent += 1
        return self._current


def choose(targets: Sequence[Target], draw: Callable[[int], int]) -> Target:
    """Return one of the targets, which must not be empty; `draw(n)` gives a random integer below n."""
    if len(targets) == 1:
        return targets[0]
    first = draw(len(targets))
    second = draw(len(targets) - 1)
    second += second >= first
    return min(targets[first], targets[second], key=lambda target: target.load)
