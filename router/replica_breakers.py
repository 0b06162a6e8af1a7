"""A circuit breaker for each replica, for one that sends heartbeats but does not answer requests."""

from __future__ import annotations

from collections.abc import Callable

from ..resilience.circuit_breaker import BreakerRules, CircuitBreaker, State
from ..schemas.payloads.replicas import Heartbeat


class ReplicaBreakers:
    """A retried request counts as a failure of the replica that had it; answers it reports count as successes."""

    def __init__(self, rules: BreakerRules, on_change: Callable[[str, State], None]) -> None:
        self._rules = rules
        self._on_change = on_change
        self._breakers: dict[str, CircuitBreaker] = {}
        self._answered: dict[str, tuple[str, int]] = {}  # epoch and count

    def on_heartbeat(self, beat: Heartbeat, now: float) -> None:
        """Count the requests that a replica has answered since its last heartbeat. A restart resets the breaker."""
        answered = sum(load.answered for load in beat.models.values())
        epoch, before = self._answered.get(beat.replica, (beat.epoch, 0))
        if epoch != beat.epoch:
            self._breakers.pop(beat.replica, None)
            before = 0
        if answered > before and (breaker := self._breakers.get(beat.replica)) is not None:
            breaker.record(True, now, answered - before)
        self._answered[beat.replica] = beat.epoch, answered
        if beat.leaving:
            self._breakers.pop(beat.replica, None)
            self._answered.pop(beat.replica, None)

    def unanswered(self, replica: str, now: float) -> None:
        """Count a request that the replica had and that has been retried."""
        breaker = self._breakers.get(replica)
        if breaker is None:
            breaker = self._breakers[replica] = CircuitBreaker(
                self._rules, lambda state: self._on_change(replica, state)
            )
        breaker.record(False, now)

    def allows(self, replica: str, now: float) -> bool:
        """Whether requests may go to the replica. They may while it is half open: they are the probes."""
        breaker = self._breakers.get(replica)
        return breaker is None or breaker.state(now) != "open"
