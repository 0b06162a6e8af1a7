"""Writes dead letters: records that cannot be read or handled, with the reason and as much of the record as fits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from ...schemas.payloads.dead_letters import dead_letter
from ...schemas.settings.mesh import MeshSettings
from .outbox import Outbox

log = structlog.get_logger(__name__)


class DeadLetterWriter:
    """Sends dead letters. Several readers of one record write one each; `modelmesh dead-letters` shows the first."""

    def __init__(self, settings: MeshSettings, outbox: Outbox) -> None:
        self._topic = settings.topics().dead_letters.name
        self._max_letter_bytes = settings.max_body_bytes
        self._outbox = outbox
        self.count = 0

    def put(
        self,
        record: Any,
        reason: str,
        stack: str = "",
        acknowledged: Callable[[asyncio.Future[object]], None] | None = None,
    ) -> None:
        """Send a record's dead letter. Without `acknowledged`, a failed send is ignored."""
        self.count += 1
        key, value, headers = letter_of(record, reason, stack, max_bytes=self._max_letter_bytes)
        self._outbox.send(self._topic, value, key=key, headers=headers, acknowledged=acknowledged)


def letter_of(
    record: Any, reason: str, stack: str = "", *, max_bytes: int
) -> tuple[str, bytes | None, list[tuple[str, bytes]]]:
    """Return key, value and headers of the dead letter of a record of aiokafka or Faust, and log a warning.

    A value of more than `max_bytes` bytes is cut.
    """
    source = f"{record.topic}/{record.partition}/{record.offset}"
    log.warning("record.dead_letter", source=source, reason=reason[:500])
    value, headers = dead_letter(
        headers_of(record), record.value, max_bytes=max_bytes, reason=reason, source=source, key=record.key, stack=stack
    )
    return source, value, headers


def headers_of(record: Any) -> list[tuple[str, bytes]]:
    """Return a record's headers. Faust has them as a mapping or as pairs."""
    found = record.headers or ()
    return list(found.items() if isinstance(found, Mapping) else map(tuple, found))
