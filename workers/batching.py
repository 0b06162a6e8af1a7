"""When a batch goes, and how large it is: a pure policy over what waits."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeAlias, TypeVar

from ..schemas.payloads.releases import Batching

T = TypeVar("T")
# A batch request goes after the interactive ones of so many seconds after it, and no later.
BATCH_HANDICAP = 1.0

_Entry: TypeAlias = tuple[float, float, int, int, object, T]


class BatchQueue(Generic[T]):
    """Requests for one version that wait, oldest first, each with its number of rows and a compatibility key.

    Nobody waits for company while the model is idle: what is there goes at once. While another batch runs, a free slot
    is used when the batch is full or its oldest request has waited `max_latency_ms`. Only requests with equal keys share
    a batch, and a request is never split. A batch takes `most_bytes` at most, counted as if each of its rows were as wide as
    the widest: that is what a table of text takes where it is padded. Interactive requests go before batch ones, which
    wait BATCH_HANDICAP seconds more at most for that.
    """

    def __init__(self, batching: Batching, slots: int, most_bytes: int = 16 * 1024 * 1024) -> None:
        self._batching = batching
        self._most_bytes = most_bytes
        self._slots = slots
        # Interactive and batch requests: (rank, arrival, rows, bytes of a row, key, item), in order of rank, a time.
        self._lanes: tuple[deque[_Entry[T]], deque[_Entry[T]]] = deque(), deque()
        self._rows = 0

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._lanes[0]) + len(self._lanes[1])

    def put(self, item: T, rows: int, key: object, now: float, *, interactive: bool = True, row_bytes: int = 0) -> None:
        """Let a request wait. `row_bytes` is the size of its widest row."""
        if interactive:
            self._lanes[0].append((now, now, rows, row_bytes, key, item))
        else:
            self._lanes[1].append((now + BATCH_HANDICAP, now, rows, row_bytes, key, item))
        self._rows += rows

    def due_at(self, running: int, now: float) -> float | None:
        """Return when the next batch should go: `now` or later; None when nothing waits or every slot is taken."""
        if not len(self) or running >= self._slots:
            return None
        if running == 0 or self._rows >= self._batching.max_batch_size:
            return now
        oldest = min(lane[0][1] for lane in self._lanes if lane)
        return max(now, oldest + self._batching.max_latency_ms / 1000)

    def take(self) -> list[T]:
        """Return the next batch: the first request and those like it, in order, up to the limits of rows and bytes.

        A request that is beyond a limit by itself goes alone. Those of another key stay, in their order.
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
                or (taken_rows + rows) * max(widest, row_bytes) > self._most_bytes
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
