"""Write API keys to the log, each with an audit event that has the actor and the source address."""

from __future__ import annotations

from ..broker.kafka.outbox import Outbox
from ..runtime.event_publisher import EventPublisher
from ..schemas.payloads.event_data import KeyData
from ..schemas.payloads.events import KeyCreated, KeyRevoked
from ..schemas.payloads.keys import ApiKey
from ..schemas.settings.mesh import MeshSettings


class KeyWriter:
    """Writes API keys."""

    def __init__(self, settings: MeshSettings, outbox: Outbox) -> None:
        self._topic = settings.topics().keys.name
        self._outbox = outbox
        self._events = EventPublisher(settings, outbox)

    async def write(self, key: ApiKey, *, actor: str, source: str) -> None:
        """Write a key; return once it is acknowledged. Raises BrokerUnavailable."""
        await self._outbox.write(self._topic, [(key.id, key.model_dump_json().encode())])
        kind, what = (KeyCreated, "made") if key.revoked_at is None else (KeyRevoked, "revoked")
        data = KeyData(key=key.id, scopes=key.scopes, source=source)
        self._events.publish(kind, data, model="", summary=f"the API key {key.name!r} was {what}", actor=actor)
