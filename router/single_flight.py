"""Single flight: of equal requests in flight, the first is sent on and the others wait for its answer."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Waiter = TypeVar("Waiter")


class SingleFlight(Generic[Key, Waiter]):
    """Requests that wait for another's answer, at most `timeout` seconds, since the first may never be answered."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._flights: dict[Key, tuple[float, list[Waiter]]] = {}  # in the order in which they began

    def __len__(self) -> int:
        return sum(len(waiters) for _, waiters in self._flights.values())

    def join(self, key: Key, waiter: Waiter, now: float) -> bool:
        """Return True if the waiter is the first and must be sent on; otherwise it waits for the first one's answer."""
        flight = self._flights.get(key)
        if flight is not None and now < flight[0] + self._timeout:
            flight[1].append(waiter)
            return False
        if flight is None:
            self._flights[key] = now, []
        return True

    def complete(self, key: Key) -> list[Waiter]:
        """Remove and return the requests that waited for this answer."""
        flight = self._flights.pop(key, None)
        return flight[1] if flight is not None else []

    def overdue(self, now: float) -> list[Waiter]:
        """Remove and return the requests that have waited too long."""
        late: list[Waiter] = []
        for key, (began, waiters) in list(self._flights.items()):
            if now < began + self._timeout:
                break
            late += waiters
            del self._flights[key]
        return late
