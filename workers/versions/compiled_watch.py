"""Compares a share of a compiled form's answers with the original model's, to find differences that the proof missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...models.proof.parity import compare
from ...models.values.tensors import Tensors
from ...schemas.errors import ModelRefusedInput
from ...telemetry.bookkeeping import Bookkeeping
from .original_model import OriginalModel


class WatchSchedule:
    """Selects batches to compare: a random share, and at least one in each `interval` seconds that has any."""

    def __init__(self, share: float, interval: float, draw: Callable[[], float], now: float) -> None:
        """`draw` returns random numbers from 0 to 1."""
        self._share = share
        self._interval = interval
        self._draw = draw
        self._due = now + interval

    def selects(self, now: float) -> bool:
        """Return whether to compare this batch."""
        if now < self._due and self._draw() >= self._share:
            return False
        self._due = now + self._interval
        return True


class CompiledWatch:
    """Compares one batch at a time, after its answers were sent. `on_difference` gets a description of a difference."""

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

    def batch_done(self, inputs: Tensors, outputs: Tensors, now: float) -> None:
        """Compare an answered batch if it is selected and no other comparison is running."""
        if self._schedule.selects(now) and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._compare(inputs, outputs))

    def stop(self) -> None:
        """Stop comparing."""
        if self._task is not None:
            self._task.cancel()

    async def _compare(self, inputs: Tensors, outputs: Tensors) -> None:
        try:
            if description := await self._difference(inputs, outputs):
                self._on_difference(description)
        except Exception as error:  # the model did not load or died, which says nothing about its compiled form
            self._keep_books.failed("watch", error)

    async def _difference(self, inputs: Tensors, outputs: Tensors) -> str:
        """Return a description of how the answers differ from the model's, or ""."""
        try:
            expected = await self._original.predict(inputs)
        except ModelRefusedInput as error:
            return f"the model refuses what its compiled form answers: {error.detail}"
        parity = compare(expected, outputs, self._tolerance)
        if parity.holds:
            return ""
        apart = f"numbers lie {parity.largest_difference:.3g} apart" if parity.labels_equal else "labels differ"
        return f"{parity.rows} rows: {parity.why or apart}"
