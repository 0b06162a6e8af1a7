"""Equal requests that are in flight together need one answer: the first is sent on, the others wait for it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Waiter = TypeVar("Waiter")


class SingleFlight(Generic[Key, Waiter]):
    """Who waits for whose answer. Nobody waits longer than `patience` seconds: the first may never be answered."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._flights: dict[Key, tuple[float, list[Waiter]]] = {}  # in the order in which they began

    def __len__(self) -> int:
        return sum(len(waiters) for _, waiters in self._flights.values())

    def join(self, key: Key, waiter: Waiter, now: float) -> bool:
        """Return True when the waiter is the first and must be sent on; else it waits for the first one's answer."""
        flight = self._flights.get(key)
        if flight is not None and now < flight[0] + self._patience:
            flight[1].append(waiter)
            return False
        if flight is None:
            self._flights[key] = now, []
        return True

    def land(self, key: Key) -> list[Waiter]:
        """The answer is there: return those who waited for it."""
        flight = self._flights.pop(key, None)
        return flight[1] if flight is not None else []

    def overdue(self, now: float) -> list[Waiter]:
        """Return those who have waited too long; they wait no more."""
        late: list[Waiter] = []
        for key, (began, waiters) in list(self._flights.items()):
            if now < began + self._patience:
                break
            late += waiters
            del self._flights[key]
        return late
