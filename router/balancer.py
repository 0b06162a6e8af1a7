"""Which replica gets a request: the better of two drawn at random (power of two choices).

Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996): two draws take away most of the imbalance of
one, and unlike "the least loaded of all" they do not send everybody to the same replica on the same stale news.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


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


def choose(targets: Sequence[Target], draw: Callable[[int], int]) -> Target:
    """Return one of the targets, which must not be empty; `draw(n)` gives a random integer below n."""
    if len(targets) == 1:
        return targets[0]
    first = draw(len(targets))
    second = draw(len(targets) - 1)
    second += second >= first
    return min(targets[first], targets[second], key=lambda target: target.load)
