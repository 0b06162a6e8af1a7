"""Which replica gets a request: the one of two drawn at random where it would wait less (power of two choices).

Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996): two draws take away most of the imbalance of
one, and unlike "the least loaded of all" they do not send everybody to the same replica on the same stale news.

The wait is estimated as in Finagle's and tower's peak EWMA: work in hand by the time that work takes. A replica says both
by its heartbeat; between two of them the balancer adds what it sends and takes off what the replica must have done since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

RUN_SECONDS = 0.002
RUN_LENGTH = 32
COLDEST = 0.05


@dataclass(slots=True)
class ReplicaBacklog:
    """What a replica has in hand for a model: `backlog_ms` is the time it needs for that, as of the moment `at`.

    `service_ms` is the time of a batch, `request_ms` what one request adds.
    """

    backlog_ms: float
    service_ms: float
    request_ms: float
    at: float

    def wait_ms(self, now: float) -> float:
        """Return the estimated wait of a request that is sent now, its own service included."""
        return self.left(now) + max(self.service_ms, 0.1)

    def add(self, now: float) -> None:
        """Add a request."""
        self.backlog_ms = self.left(now) + self.request_ms
        self.at = now

    def left(self, now: float) -> float:
        """Return the milliseconds that it needs for what it has in hand."""
        return max(0.0, self.backlog_ms - 1000 * max(0.0, now - self.at))


@dataclass(slots=True)
class Target:
    """A replica that serves a version, and the partition to reach it by.

    `warmth` grows from 0 to 1 while a replica is new to a version: only so large a share of its draws counts.
    """

    replica: str
    partition: int
    work: ReplicaBacklog
    warmth: float = 1.0
    probes: int | None = None  # how many requests it may get for now, while its breaker is half open
    sent: int = 0

    def send(self, now: float) -> None:
        """Add a request to what it has in hand."""
        self.work.add(now)
        self.sent += 1

    @property
    def full(self) -> bool:
        """Whether it has been sent all the probes that it may get for now."""
        return self.probes is not None and self.sent >= self.probes


class Balancer(Protocol):
    """Says which of several targets, one at least, gets the next request."""

    def __call__(self, targets: Sequence[Target], draw: Callable[[int], int], now: float) -> Target:
        """Return one of the targets; `draw(n)` gives a random integer below n."""


class RunBalancer:
    """Keeps to a choice for a short run of requests, so that those who come together can share a batch.

    A fetch hands the router a few dozen requests within a millisecond. Drawing for each would halve every batch and double
    the records' round trips; drawing for none would be no balancing. A run ends after RUN_SECONDS or RUN_LENGTH requests.
    """

    def __init__(self, targets: Sequence[Target], draw: Callable[[int], int], balance: Balancer | None = None) -> None:
        self.targets = targets
        self._balance = balance or choose
        self._draw = draw
        self._current: Target | None = None
        self._ends_at = 0.0
        self._left = 0

    def choose(self, now: float, avoid: Collection[str] = ()) -> Target | None:
        """Return the target of one request, or None where all have as many probes as they may get.

        `avoid` names replicas that had the request before: they get it only when there is nobody else.
        """
        if avoid:
            others = [target for target in self.targets if target.replica not in avoid and not target.full]
            if others:
                chosen = self._balance(others, self._draw, now)
                chosen.send(now)
                return chosen
        if self._current is None or self._left == 0 or now >= self._ends_at or self._current.full:
            ready = [target for target in self.targets if not target.full]
            if not ready:
                return None
            self._current = self._balance(ready, self._draw, now)
            self._ends_at = now + RUN_SECONDS
            self._left = RUN_LENGTH
        self._left -= 1
        self._current.send(now)
        return self._current


def choose(targets: Sequence[Target], draw: Callable[[int], int], now: float) -> Target:
    """Return one of the targets, which must not be empty; `draw(n)` gives a random integer below n."""
    if len(targets) == 1:
        return targets[0]
    first = draw(len(targets))
    second = draw(len(targets) - 1)
    second += second >= first
    better, other = sorted((targets[first], targets[second]), key=lambda target: target.work.wait_ms(now))
    if better.warmth < other.warmth and draw(1000) >= 1000 * max(COLDEST, better.warmth):
        return other
    return better


def choose_at_random(targets: Sequence[Target], draw: Callable[[int], int], now: float) -> Target:
    """Return one of the targets whatever their load."""
    return targets[draw(len(targets))]


class RoundRobin:
    """Returns the targets in turn whatever their load."""

    def __init__(self) -> None:
        self._turns = count()

    def __call__(self, targets: Sequence[Target], draw: Callable[[int], int], now: float) -> Target:
        """Return the next one."""
        return targets[next(self._turns) % len(targets)]


def balancer_named(name: str) -> Balancer:
    """Return the way of choosing that the setting names."""
    balancers: dict[str, Balancer] = {"p2c": choose, "random": choose_at_random, "round_robin": RoundRobin()}
    return balancers[name]
