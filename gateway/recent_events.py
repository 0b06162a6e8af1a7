"""The latest events, straight from the log: the history in the database follows them with a delay."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection

from ..schemas.documents.releases import EventDocument
from ..schemas.payloads.read_events import ReadEvent

MAX_BYTES = 4 * 1024 * 1024


class RecentEvents:
    """The newest events that fit into MAX_BYTES of JSON."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, EventDocument]] = deque()
        self._bytes = 0

    def add(self, event: ReadEvent, size: int) -> None:
        """Add an event whose record has `size` bytes."""
        self._events.append((size, EventDocument.of(event)))
        self._bytes += size
        while self._bytes > MAX_BYTES:
            self._bytes -= self._events.popleft()[0]

    def select(
        self, models: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> list[EventDocument]:
        """Return the events of these models and kinds (None: any), newest first."""
        return [
            event
            for _, event in reversed(self._events)
            if (models is None or event.model in models) and (kinds is None or event.kind in kinds)
        ]


def newer(recent: list[EventDocument], stored: list[EventDocument]) -> list[EventDocument]:
    """Return the recent events that the history does not have yet; `stored` is its first page, newest first."""
    known = {event.event_id for event in stored}
    begin = stored[0].at if stored else -math.inf
    return [event for event in recent if event.event_id not in known and event.at >= begin]
