"""The API keys, followed from the `keys` topic: every gateway refuses a revoked key within milliseconds."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from ...schemas.payloads.keys import ApiKey
from ...schemas.settings.mesh import MeshSettings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.topic_follower import TopicFollower


class KeysView:
    """A table of keys by id."""

    def __init__(self, settings: MeshSettings, dead_letters: DeadLetterWriter | None = None) -> None:
        self.keys: dict[str, ApiKey] = {}
        self._follower = TopicFollower(settings, settings.topics().keys, self._on_record, dead_letters=dead_letters)
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._follower.run()

    def _on_record(self, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        key = ApiKey.model_validate_json(record.value)
        self.keys[key.id] = key
