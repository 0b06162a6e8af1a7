"""When a batch goes, and how large it is: a pure policy over what waits."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from ..schemas.releases import Batching

T = TypeVar("T")


class BatchQueue(Generic[T]):
    """Requests for one version that wait, oldest first, each with its number of rows and a compatibility key.

    Nobody waits for company while the model is idle: what is there goes at once. While another batch runs, a free slot
    is used when the batch is full or its oldest request has waited `max_latency_ms`. Only requests with equal keys share
    a batch, and a request is never split.
    """

    def __init__(self, batching: Batching, slots: int) -> None:
        self._batching = batching
        self._slots = slots
        self._waiting: deque[tuple[float, int, object, T]] = deque()
        self._rows = 0

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def put(self, item: T, rows: int, key: object, now: float) -> None:
        """Let a request wait."""
        self._waiting.append((now, rows, key, item))
        self._rows += rows

    def due_at(self, running: int, now: float) -> float | None:
        """Return when the next batch should go: `now` or later; None when nothing waits or every slot is taken."""
        if not self._waiting or running >= self._slots:
            return None
        if running == 0 or self._rows >= self._batching.max_batch_size:
            return now
        return max(now, self._waiting[0][0] + self._batching.max_latency_ms / 1000)

    def take(self) -> list[T]:
        """Return the next batch: the oldest request and those like it, in order, up to the size limit.

        A request with more rows than the limit goes alone. Those of another key stay, in their order.
        """
        batch: list[T] = []
        taken_rows = 0
        first_key: object = None
        left: list[tuple[float, int, object, T]] = []
        while self._waiting:
            entry = self._waiting.popleft()
            _, rows, key, item = entry
            if not batch:
                first_key = key
            elif taken_rows + rows > self._batching.max_batch_size:
                left.append(entry)
                break
            elif key != first_key:
                left.append(entry)
                continue
            batch.append(item)
            taken_rows += rows
        self._waiting.extendleft(reversed(left))
        self._rows -= taken_rows
        return batch
