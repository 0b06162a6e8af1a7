"""Where readers outside of a group put what they cannot read; they go on at once, whatever becomes of the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiokafka import ConsumerRecord

from ..schemas.dead_letters import dead_letter
from ..schemas.settings import Settings

if TYPE_CHECKING:  # an outbox asks for faults, and whoever reads those has a box
    from .outbox import Outbox

log = structlog.get_logger(__name__)


class DeadLetterBox:
    """Writes dead letters. Several readers of one record write one each; `modelmesh dead-letters` shows the first."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._topic = settings.topics().dead_letters.name
        self._whole = settings.max_body_bytes
        self._outbox = outbox

    def put(self, record: ConsumerRecord, reason: str) -> None:
        """Put a record aside."""
        source = f"{record.topic}/{record.partition}/{record.offset}"
        log.warning("record.dead_letter", source=source, reason=reason[:500])
        value, headers = dead_letter(
            record.headers, record.value, whole=self._whole, reason=reason, source=source, key=record.key
        )
        self._outbox.send(self._topic, value, key=source, headers=headers)
