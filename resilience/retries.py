"""When a request is sent again, and whether it may be: a delay learned from the latencies, and a budget."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

_KEPT = 512
_EVERY = 32


class RetryDelay:
    """The delay before each further attempt: twice the p99 of the last answers, doubled each time, with jitter.

    Jitter of a quarter either way keeps those who failed together from coming back together. Until there are answers to
    learn from, and whatever they say, it is at least `least` seconds.
    """

    def __init__(self, least: float, uniform: Callable[[], float]) -> None:
        self._least = least
        self._uniform = uniform
        self._latencies: deque[float] = deque(maxlen=_KEPT)
        self._new = 0
        self._p99 = 0.0

    def answered(self, seconds: float) -> None:
        """Learn from an answer to a first attempt."""
        self._latencies.append(seconds)
        self._new += 1
        if self._new >= min(_EVERY, len(self._latencies) // 4 + 1):
            self._new = 0
            ordered = sorted(self._latencies)
            self._p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]

    def before(self, attempt: int) -> float:
        """Return the seconds between an attempt and the next one, number `attempt` (2 or more)."""
        return max(self._least, 2 * self._p99) * 2.0 ** (attempt - 2) * (0.75 + 0.5 * self._uniform())


class RetryBudget:
    """Retries that requests have paid for: each request adds `share`, each retry takes 1 (as in Finagle).

    The budget holds at most ten seconds' worth of what came in, so that a good hour cannot be spent in one storm, and
    `reserve` retries a second on top, without which a client with little traffic could never retry.
    """

    SECONDS = 10.0

    def __init__(self, share: float, reserve: float) -> None:
        self._share = share
        self._reserve = reserve
        self._paid: deque[list[float]] = deque()  # [second, balance]

    def request(self, now: float) -> None:
        """Add what one request pays."""
        self._bucket(now)[1] += self._share

    def withdraw(self, now: float) -> bool:
        """Take one retry; whether there was one to take."""
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
