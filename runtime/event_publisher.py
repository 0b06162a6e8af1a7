"""Tell everyone what happened: events on the log."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from ..broker.kafka.outbox import Outbox
from ..resilience.circuit_breaker import State
from ..schemas.payloads.commands import Event, EventKind
from ..schemas.settings import Settings

_BREAKERS: dict[State, EventKind] = {
    "closed": "breaker.closed", "half_open": "breaker.half_open", "open": "breaker.open"
}  # fmt: skip


class EventPublisher:
    """Publishes events in the name of this replica."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._topic = settings.topics().events.name
        self._actor = settings.name
        self._outbox = outbox

    def breaker(self, state: State, model: str, what: str, **data: Any) -> None:
        """Publish a breaker's new state; `what` says whose it is."""
        self.publish(_BREAKERS[state], model, f"the breaker of {what} is {state.replace('_', ' ')}", **data)

    def publish(self, kind: EventKind, model: str, summary: str, *, actor: str = "", **data: Any) -> None:
        """Publish an event; `model` is empty where it is about no model in particular, `actor` where it is this replica."""
        event = Event(
            event_id=uuid4().hex,
            kind=kind,
            model=model,
            at=time.time(),
            actor=actor or self._actor,
            summary=summary,
            data=data,
        )
        self._outbox.send(self._topic, event.model_dump_json().encode(), key=model or self._actor)
