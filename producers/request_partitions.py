"""Chooses the partition of `requests` for an attempt: of a live router, and of another router for each attempt."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..schemas.payloads.replicas import Heartbeat

# Requests in a row to one partition: routers get larger fetches, and requests still spread over all routers.
STICKY = 64


class RequestPartitions:
    """Counts requests from `start` on, so that clients with different starts spread over the partitions."""

    def __init__(self, partitions: int, start: int) -> None:
        self._partitions = partitions
        self._sent = start

    def choose(self, live: Iterable[Heartbeat], tried: Collection[int] = ()) -> int:
        """Return a partition of a live router; for a retry, of a router that had no earlier attempt, if there is one."""
        self._sent += 1
        held = [beat.partitions for beat in live if beat.role == "router" and beat.partitions]
        others = [partitions for partitions in held if not any(number in partitions for number in tried)]
        numbers = [number for partitions in others or held for number in partitions] or list(range(self._partitions))
        if tried:
            numbers = [number for number in numbers if number not in tried] or numbers
        return numbers[self._sent // STICKY % len(numbers)]
