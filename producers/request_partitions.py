"""Which partition of the requests topic a client sends to: one that a live router holds, another one for each attempt."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..schemas.payloads.replicas import Heartbeat

# So many requests in a row go to one partition: larger fetches for the router, still spread over all routers.
STICKY = 64


class RequestPartitions:
    """Counts requests from `start` on; clients that start at different numbers spread over the partitions."""

    def __init__(self, partitions: int, start: int) -> None:
        self._partitions = partitions
        self._sent = start

    def choose(self, live: Iterable[Heartbeat], tried: Collection[int] = ()) -> int:
        """Return a partition of a live router; with attempts behind it, of a router that had none of them, if there is one."""
        self._sent += 1
        held = [beat.partitions for beat in live if beat.role == "router" and beat.partitions]
        others = [partitions for partitions in held if not any(number in partitions for number in tried)]
        numbers = [number for partitions in others or held for number in partitions] or list(range(self._partitions))
        if tried:
            numbers = [number for number in numbers if number not in tried] or numbers
        return numbers[self._sent // STICKY % len(numbers)]
