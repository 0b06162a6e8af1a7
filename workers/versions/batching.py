"""The batching policy: when the next batch is sent, and which requests are in it. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeAlias, TypeVar

from ...schemas.payloads.releases import Batching

T = TypeVar("T")
# Seconds by which batch-priority requests rank behind interactive ones that arrive at the same time.
BATCH_HANDICAP = 1.0

_Entry: TypeAlias = tuple[float, float, int, int, object, T]


class BatchQueue(Generic[T]):
    """The waiting requests of one version, oldest first, each with its number of rows and a compatibility key.

    When the model is idle, a batch is sent immediately. While another batch runs, a free slot is used when the batch is full
    or its oldest request has waited `max_latency_ms`. Only requests with equal keys share a batch, and a request is never
    split. A batch has at most `max_bytes`, with each row counted as wide as the widest, since text columns are padded.
    Interactive requests go before batch-priority ones, which wait at most BATCH_HANDICAP seconds longer for that.
    """

    def __init__(self, batching: Batching, slots: int, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._batching = batching
        self._max_bytes = max_bytes
        self._slots = slots
        # Interactive and batch-priority requests: (rank, arrival, rows, row bytes, key, item), ordered by rank, a time.
        self._lanes: tuple[deque[_Entry[T]], deque[_Entry[T]]] = deque(), deque()
        self._rows = 0

    def __len__(self) -> int:
        """Number of waiting requests."""
        return len(self._lanes[0]) + len(self._lanes[1])

    def put(self, item: T, rows: int, key: object, now: float, *, interactive: bool = True, row_bytes: int = 0) -> None:
        """Add a request. `row_bytes` is the size of its widest row."""
        if interactive:
            self._lanes[0].append((now, now, rows, row_bytes, key, item))
        else:
            self._lanes[1].append((now + BATCH_HANDICAP, now, rows, row_bytes, key, item))
        self._rows += rows

    def due_at(self, running: int, now: float) -> float | None:
        """Return when to send the next batch, `now` or later; None if nothing waits or all slots are busy."""
        if not len(self) or running >= self._slots:
            return None
        if running == 0 or self._rows >= self._batching.max_batch_size:
            return now
        oldest = min(lane[0][1] for lane in self._lanes if lane)
        return max(now, oldest + self._batching.max_latency_ms / 1000)

    def take(self) -> list[T]:
        """Remove and return the next batch: the first request and those with its key, up to the limits of rows and bytes.

        A request that exceeds a limit by itself is a batch of its own. Requests with other keys stay in order.
        """
        batch: list[T] = []
        taken_rows = widest = 0
        first_key: object = None
        left: list[tuple[deque[_Entry[T]], _Entry[T]]] = []
        while lane := min((lane for lane in self._lanes if lane), key=lambda lane: lane[0][0], default=None):
            entry = lane.popleft()
            _, _, rows, row_bytes, key, item = entry
            if not batch:
                first_key = key
            elif (
                taken_rows + rows > self._batching.max_batch_size
                or (taken_rows + rows) * max(widest, row_bytes) > self._max_bytes
            ):
                left.append((lane, entry))
                break
            elif key != first_key:
                left.append((lane, entry))
                continue
            batch.append(item)
            taken_rows += rows
            widest = max(widest, row_bytes)
        for lane, entry in reversed(left):
            lane.appendleft(entry)
        self._rows -= taken_rows
        return batch
