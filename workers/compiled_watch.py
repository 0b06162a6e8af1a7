"""A share of what a compiled form answered is asked of the model itself too: whatever the proof did not think of shows here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..models.proof.parity import compare
from ..models.values.tensors import Tensors
from ..schemas.errors import ModelRefusedInput
from ..telemetry.bookkeeping import Bookkeeping
from .original_model import OriginalModel


class WatchSchedule:
    """Which batches are looked at: a random share, and one in each `interval` seconds at least while there are any."""

    def __init__(self, share: float, interval: float, draw: Callable[[], float], now: float) -> None:
        """`draw` gives numbers from 0 to 1."""
        self._share = share
        self._interval = interval
        self._draw = draw
        self._due = now + interval

    def takes(self, now: float) -> bool:
        """Whether this batch is one of them."""
        if now < self._due and self._draw() >= self._share:
            return False
        self._due = now + self._interval
        return True


class CompiledWatch:
    """Compares one batch at a time, when its answers have gone out. `on_difference` gets in words how a batch differed."""

    def __init__(
        self,
        original: OriginalModel,
        schedule: WatchSchedule,
        tolerance: float,
        on_difference: Callable[[str], None],
        keep_books: Bookkeeping,
    ) -> None:
        self._original = original
        self._schedule = schedule
        self._tolerance = tolerance
        self._on_difference = on_difference
        self._keep_books = keep_books
        self._task: asyncio.Task[None] | None = None

    def saw(self, inputs: Tensors, outputs: Tensors, now: float) -> None:
        """Look at a batch that was answered, if it is its turn and no other is being looked at."""
        if self._schedule.takes(now) and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._compare(inputs, outputs))

    def stop(self) -> None:
        """Look at no more."""
        if self._task is not None:
            self._task.cancel()

    async def _compare(self, inputs: Tensors, outputs: Tensors) -> None:
        try:
            if how := await self._difference(inputs, outputs):
                self._on_difference(how)
        except Exception as error:  # the model did not load or died: nothing is known of its compiled form
            self._keep_books.failed("watch", error)

    async def _difference(self, inputs: Tensors, outputs: Tensors) -> str:
        """Return in words how the answers differ from the model's own; "" where they do not."""
        try:
            expected = await self._original.predict(inputs)
        except ModelRefusedInput as error:
            return f"the model refuses what its compiled form answers: {error.detail}"
        parity = compare(expected, outputs, self._tolerance)
        if parity.holds:
            return ""
        apart = f"numbers lie {parity.largest_difference:.3g} apart" if parity.labels_equal else "labels differ"
        return f"{parity.rows} rows: {parity.why or apart}"
