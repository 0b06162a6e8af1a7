"""Choose a replica for a request: of two drawn at random, the one with the shorter estimated wait.

Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996): two draws remove most of the imbalance of one.
Unlike "least loaded of all", they do not make every router pick the same replica from the same stale data.

The wait is estimated as in Finagle's and tower's peak EWMA: queued work times its service time. A replica reports both in
its heartbeat. Between heartbeats the balancer adds what it sends and subtracts the time that has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

RUN_SECONDS = 0.002
RUN_LENGTH = 32
MIN_WARMTH = 0.05


@dataclass(slots=True)
class ReplicaBacklog:
    """A replica's backlog for a model: it needed `backlog_ms` to work it off at time `at`.

    `service_ms` is the time of a batch, `request_ms` what one request adds to the backlog.
    """

    backlog_ms: float
    service_ms: float
    request_ms: float
    at: float

    def wait_ms(self, now: float) -> float:
        """Return the estimated wait of a request that is sent now, including its own service time."""
        return self.remaining_ms(now) + max(self.service_ms, 0.1)

    def add(self, now: float) -> None:
        """Add a request."""
        self.backlog_ms = self.remaining_ms(now) + self.request_ms
        self.at = now

    def remaining_ms(self, now: float) -> float:
        """Return the milliseconds that the backlog still needs."""
        return max(0.0, self.backlog_ms - 1000 * max(0.0, now - self.at))


@dataclass(slots=True)
class Target:
    """A replica that serves a version, and the partition to reach it by.

    `warmth` grows from 0 to 1 after a replica has loaded a version; the replica accepts about that share of its draws.
    """

    replica: str
    partition: int
    backlog: ReplicaBacklog
    warmth: float = 1.0
    probes: int | None = None  # limit of requests until its next heartbeat, while its breaker is half open
    sent: int = 0

    def send(self, now: float) -> None:
        """Count a request that is sent to it."""
        self.backlog.add(now)
        self.sent += 1

    @property
    def full(self) -> bool:
        """Whether it has been sent all its probes."""
        return self.probes is not None and self.sent >= self.probes


class Balancer(Protocol):
    """Chooses the target of the next request."""

    def __call__(self, targets: Sequence[Target], draw: Callable[[int], int], now: float) -> Target:
        """Return one of the targets, which must not be empty; `draw(n)` gives a random integer below n."""


class RunBalancer:
    """Sends short runs of requests to one target, so that requests that arrive together can share a batch.

    A fetch returns a few dozen requests within a millisecond. A draw for each request would halve the batches and double
    the round trips. A run ends after RUN_SECONDS or RUN_LENGTH requests.
    """

    def __init__(self, targets: Sequence[Target], draw: Callable[[int], int], balance: Balancer | None = None) -> None:
        self.targets = targets
        self._balance = balance or choose
        self._draw = draw
        self._current: Target | None = None
        self._ends_at = 0.0
        self._left = 0

    def choose(self, now: float, avoid: Collection[str] = ()) -> Target | None:
        """Return the target of one request, or None if all targets have their limit of probes.

        `avoid` names replicas that already had the request: they get it only if there are no others.
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
    better, other = sorted((targets[first], targets[second]), key=lambda target: target.backlog.wait_ms(now))
    if better.warmth < other.warmth and draw(1000) >= 1000 * max(MIN_WARMTH, better.warmth):
        return other
    return better


def choose_at_random(targets: Sequence[Target], draw: Callable[[int], int], now: float) -> Target:
    """Return a random target, regardless of load."""
    return targets[draw(len(targets))]


class RoundRobin:
    """Returns the targets in turn, regardless of load."""

    def __init__(self) -> None:
        self._turns = count()

    def __call__(self, targets: Sequence[Target], draw: Callable[[int], int], now: float) -> Target:
        """Return the next target."""
        return targets[next(self._turns) % len(targets)]


def balancer_named(name: str) -> Balancer:
    """Return the balancer that the setting names."""
    balancers: dict[str, Balancer] = {"p2c": choose, "random": choose_at_random, "round_robin": RoundRobin()}
    return balancers[name]
