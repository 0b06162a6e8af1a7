"""The API keys as the `keys` topic has them: a key that is revoked is refused by every gateway within milliseconds."""

from __future__ import annotations

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from ..schemas.keys import ApiKey
from ..schemas.settings import Settings
from .topic_follower import TopicFollower

log = structlog.get_logger(__name__)


class KeysView:
    """A table of keys by id."""

    def __init__(self, settings: Settings) -> None:
        self.keys: dict[str, ApiKey] = {}
        self._follower = TopicFollower(settings, settings.topics().keys, self._on_record)
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._follower.run()

    def _on_record(self, record: ConsumerRecord) -> None:
        try:
            key = ApiKey.model_validate_json(record.value or b"")
        except ValidationError as error:
            log.warning("record.malformed", topic=record.topic, offset=record.offset, reason=error.errors()[0]["msg"])
            return
        self.keys[key.id] = key
