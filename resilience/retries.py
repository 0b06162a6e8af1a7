"""When a request is retried, and whether it may be: a backoff learned from latencies, and a retry budget."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

_KEPT = 512
_EVERY = 32


class RetryDelay:
    """The delay before each further attempt: twice the p99 latency, doubled each time, with jitter.

    Jitter of +-25 % keeps requests that failed together from being retried together. Before jitter and doubling the delay is
    at least `minimum` seconds, also before the first answers.
    """

    def __init__(self, minimum: float, uniform: Callable[[], float]) -> None:
        self._minimum = minimum
        self._uniform = uniform
        self._latencies: deque[float] = deque(maxlen=_KEPT)
        self._new = 0
        self._p99 = 0.0

    def answered(self, seconds: float) -> None:
        """Record the latency of a first attempt."""
        self._latencies.append(seconds)
        self._new += 1
        if self._new >= min(_EVERY, len(self._latencies) // 4 + 1):
            self._new = 0
            ordered = sorted(self._latencies)
            self._p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]

    def before(self, attempt: int) -> float:
        """Return the seconds between an attempt and the next one, number `attempt` (2 or more)."""
        return max(self._minimum, 2 * self._p99) * 2.0 ** (attempt - 2) * (0.75 + 0.5 * self._uniform())


class RetryBudget:
    """A retry budget: each request adds `share`, each retry takes 1 (as in Finagle).

    The budget covers the last ten seconds, so that credit of a quiet hour cannot be spent in one retry storm, and `reserve`
    retries a second on top, so that a client with little traffic can retry at all.
    """

    SECONDS = 10.0

    def __init__(self, share: float, reserve: float) -> None:
        self._share = share
        self._reserve = reserve
        self._paid: deque[list[float]] = deque()  # [second, balance]

    def request(self, now: float) -> None:
        """Add one request's share."""
        self._bucket(now)[1] += self._share

    def withdraw(self, now: float) -> bool:
        """Take one retry; return False if the budget is spent."""
        newest = self._bucket(now)
        if sum(paid for _, paid in self._paid) + self._reserve * self.SECONDS < 1:
            return False
        newest[1] -= 1
        return True

    def _bucket(self, now: float) -> list[float]:
        second = math.floor(now)
        if not self._paid or self._paid[-1][0] != second:
            self._paid.append([second, 0.0])
            while self._paid[0][0] <= second - self.SECONDS:
                self._paid.popleft()
        return self._paid[-1]
