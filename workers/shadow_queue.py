"""The queue of shadow copies, which wait until the worker is idle; beyond a limit the oldest are shed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ShadowQueue(Generic[T]):
    """A bounded queue of copies with their deadlines. Each copy is either run or shed, exactly once."""

    def __init__(self, limit: int, run: Callable[[T], None], shed: Callable[[T], None]) -> None:
        self._limit = limit
        self._run = run
        self._shed = shed
        self._waiting: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        """Number of waiting copies."""
        return len(self._waiting)

    def put(self, copy: T, deadline: float) -> None:
        """Add a copy; beyond the limit, shed the oldest."""
        self._waiting.append((deadline, copy))
        if len(self._waiting) > self._limit:
            self._shed(self._waiting.popleft()[1])

    def pump(self, busy: bool, limit: int, now: float) -> None:
        """Shed expired copies; unless the worker is busy, run at most `limit` others."""
        while self._waiting and self._waiting[0][0] <= now:
            self._shed(self._waiting.popleft()[1])
        if busy:
            return
        for _ in range(min(limit, len(self._waiting))):
            self._run(self._waiting.popleft()[1])

    def shed_all(self) -> None:
        """Shed all copies, when the worker stops."""
        while self._waiting:
            self._shed(self._waiting.popleft()[1])
