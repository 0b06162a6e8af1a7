"""Shadow copies wait until the worker has nothing better to do; when too many wait, the oldest are shed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ShadowQueue(Generic[T]):
    """A bounded queue of copies with their deadlines. What leaves it is run or shed, each exactly once."""

    def __init__(self, limit: int, run: Callable[[T], None], shed: Callable[[T], None]) -> None:
        self._limit = limit
        self._run = run
        self._shed = shed
        self._waiting: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        """Copies that wait."""
        return len(self._waiting)

    def put(self, copy: T, deadline: float) -> None:
        """Let a copy wait; beyond the limit the oldest goes."""
        self._waiting.append((deadline, copy))
        if len(self._waiting) > self._limit:
            self._shed(self._waiting.popleft()[1])

    def pump(self, busy: bool, room: int, now: float) -> None:
        """Shed those whose time is over; unless the worker is busy, run as many as there is room for."""
        while self._waiting and self._waiting[0][0] <= now:
            self._shed(self._waiting.popleft()[1])
        if busy:
            return
        for _ in range(min(room, len(self._waiting))):
            self._run(self._waiting.popleft()[1])

    def shed_all(self) -> None:
        """Shed what waits: the worker stops, or nobody wants copies any more."""
        while self._waiting:
            self._shed(self._waiting.popleft()[1])
