"""A circuit breaker: opens when too many requests fail, then lets a few probes through (Nygard, "Release It!")."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..schemas.payloads.replicas import BreakerState
from ..schemas.settings.pipeline import PipelineSettings

State: TypeAlias = BreakerState
# Values of the metric.
STATES: dict[State, int] = {"closed": 0, "half_open": 1, "open": 2}
_BUCKETS = 10


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """Opens when at least `failures` (a share) of at least `requests` in `window` seconds failed.

    After `recovery` seconds it is half open: `probes` requests may pass. If all succeed it closes; one failure opens it again.
    """

    failures: float = 0.5
    requests: int = 20
    window: float = 10.0
    recovery: float = 5.0
    probes: int = 3

    @classmethod
    def from_settings(cls, settings: PipelineSettings) -> BreakerRules:
        """Return the rules from the settings."""
        return cls(
            settings.breaker_failures,
            settings.breaker_requests,
            settings.breaker_window,
            settings.breaker_recovery,
            settings.breaker_probes,
        )


class CircuitBreaker:
    """Call `allow` before a request and `record` with its outcome; `on_change` is called with each new state."""

    def __init__(self, rules: BreakerRules, on_change: Callable[[State], None] | None = None) -> None:
        self._rules = rules
        self._on_change = on_change
        self._counts: deque[list[float]] = deque()  # [bucket, requests, failures]
        self._state: State = "closed"
        self._since = 0.0
        self._probing = 0
        self._succeeded = 0

    def state(self, now: float) -> State:
        """Return the state; an open breaker becomes half open after the recovery time."""
        if self._state == "open" and now >= self._since + self._rules.recovery:
            self._become("half_open", now)
        elif self._state == "half_open" and now >= self._since + self._rules.recovery:
            # The outcome of some probes was never recorded: allow new ones.
            self._since, self._probing, self._succeeded = now, 0, 0
        return self._state

    def allow(self, now: float) -> bool:
        """Whether a request may pass now."""
        state = self.state(now)
        if state == "half_open" and self._probing < self._rules.probes:
            self._probing += 1
            return True
        return state == "closed"

    def retry_after(self, now: float) -> float:
        """Return the seconds until a request may pass again; 0 when it may now."""
        return max(0.0, self._since + self._rules.recovery - now) if self.state(now) == "open" else 0.0

    def record(self, ok: bool, now: float, requests: int = 1) -> None:
        """Record the outcome of `requests` requests; ignored while the breaker is open."""
        state = self.state(now)
        if state == "half_open":
            self._succeeded += requests if ok else 0
            if not ok:
                self._become("open", now)
            elif self._succeeded >= self._rules.probes:
                self._become("closed", now)
        elif state == "closed":
            self._count(ok, now, requests)
            total = sum(count[1] for count in self._counts)
            failed = sum(count[2] for count in self._counts)
            if not ok and total >= self._rules.requests and failed >= self._rules.failures * total:
                self._become("open", now)

    def _count(self, ok: bool, now: float, requests: int) -> None:
        bucket = now // (self._rules.window / _BUCKETS)
        if not self._counts or self._counts[-1][0] != bucket:
            self._counts.append([bucket, 0, 0])
        while self._counts[0][0] <= bucket - _BUCKETS:
            self._counts.popleft()
        self._counts[-1][1] += requests
        self._counts[-1][2] += 0 if ok else requests

    def _become(self, state: State, now: float) -> None:
        self._state, self._since = state, now
        self._probing = self._succeeded = 0
        self._counts.clear()
        if self._on_change is not None:
            self._on_change(state)
