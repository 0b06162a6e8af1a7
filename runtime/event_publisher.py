"""Publishes events."""

from __future__ import annotations

import time
from uuid import uuid4

from ..broker.kafka.outbox import Outbox
from ..resilience.circuit_breaker import State
from ..schemas.payloads.event_data import BreakerData
from ..schemas.payloads.events import BreakerClosed, BreakerHalfOpened, BreakerOpened, Data, EventOf
from ..schemas.settings.mesh import MeshSettings

_BREAKERS: dict[State, type[EventOf[BreakerData]]] = {
    "closed": BreakerClosed, "half_open": BreakerHalfOpened, "open": BreakerOpened
}  # fmt: skip


class EventPublisher:
    """Publishes events with this replica as the default actor."""

    def __init__(self, settings: MeshSettings, outbox: Outbox) -> None:
        self._topic = settings.topics().events.name
        self._actor = settings.name
        self._outbox = outbox

    def breaker(self, state: State, model: str, what: str, *, replica: str, version: str = "") -> None:
        """Publish a breaker's new state; `what` describes the breaker's owner."""
        data = BreakerData(replica=replica, version=version) if version else BreakerData(replica=replica)
        summary = f"the breaker of {what} is {state.replace('_', ' ')}"
        self.publish(_BREAKERS[state], data, model=model, summary=summary)

    def publish(self, kind: type[EventOf[Data]], data: Data, *, model: str, summary: str, actor: str = "") -> None:
        """Publish an event; an empty `model` means no model in particular, an empty `actor` this replica."""
        event = kind(
            event_id=uuid4().hex,
            model=model,
            at=time.time(),
            actor=actor or self._actor,
            summary=summary,
            data=data,
        )
        self._outbox.send(self._topic, event.model_dump_json().encode(), key=model or self._actor)
