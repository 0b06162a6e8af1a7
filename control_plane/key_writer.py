"""Write API keys to the log, each with an event that says who did it, and from where."""

from __future__ import annotations

import asyncio

from ..broker.event_publisher import EventPublisher
from ..broker.outbox import Outbox
from ..schemas.commands import EventKind
from ..schemas.errors import BrokerUnavailable
from ..schemas.keys import ApiKey
from ..schemas.settings import Settings


class KeyWriter:
    """The keys topic's writer."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._topic = settings.topics().keys.name
        self._outbox = outbox
        self._events = EventPublisher(settings, outbox)

    async def write(self, key: ApiKey, kind: EventKind, *, actor: str, source: str) -> None:
        """Return once the log has it. Raises BrokerUnavailable."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledged(sent: asyncio.Future[object]) -> None:
            if sent.cancelled() or written.done():
                return
            if (error := sent.exception()) is not None:
                written.set_exception(BrokerUnavailable(f"Kafka did not take the key: {error}"))
            else:
                written.set_result(None)

        self._outbox.send(self._topic, key.model_dump_json().encode(), key=key.id, acknowledged=acknowledged)
        await written
        what = "made" if kind == "key.created" else "revoked"
        self._events.publish(
            kind, "", f"the API key {key.name!r} was {what}", actor=actor, source=source, key=key.id, scopes=key.scopes
        )
