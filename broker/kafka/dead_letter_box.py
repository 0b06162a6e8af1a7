"""Where records go that cannot be read or handled: each with its reason, where it came from, and as much of it as fits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiokafka import ConsumerRecord

from ...schemas.payloads.dead_letters import dead_letter
from ...schemas.settings import Settings
from .outbox import Outbox

log = structlog.get_logger(__name__)


class DeadLetterBox:
    """Writes dead letters. Several readers of one record write one each; `modelmesh dead-letters` shows the first."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._topic = settings.topics().dead_letters.name
        self._whole = settings.max_body_bytes
        self._outbox = outbox

    def put(
        self,
        record: ConsumerRecord,
        reason: str,
        stack: str = "",
        acknowledged: Callable[[asyncio.Future[object]], None] | None = None,
    ) -> None:
        """Put a record aside. Without `acknowledged` its reader goes on, whatever becomes of the letter."""
        source = f"{record.topic}/{record.partition}/{record.offset}"
        log.warning("record.dead_letter", source=source, reason=reason[:500])
        value, headers = dead_letter(
            record.headers, record.value, whole=self._whole, reason=reason, source=source, key=record.key, stack=stack
        )
        self._outbox.send(self._topic, value, key=source, headers=headers, acknowledged=acknowledged)
