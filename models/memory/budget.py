"""The memory budget for ONNX models that run inside the worker's own process."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from ...schemas.errors import ModelRefusedInput
from ...schemas.payloads.model_memory import Memory
from ...schemas.settings.models import ModelSettings
from ..adapters.base import Predictor
from ..compiled.domain import OutsideDomain
from ..values.tensors import Tensors

_MAX_ROWS = 10_000  # in one call of a model; a reservation covers so many where the budget allows
_BATCHES_PER_BUDGET = 8  # one batch may take an eighth of the budget


@dataclass(frozen=True, slots=True)
class Reservation:
    """A model's part of the budget, in bytes, and the maximum number of rows in one call."""

    size: int
    max_rows: int


class MemoryBudget:
    """The memory budget of all models in this process, in bytes. Thread-safe."""

    def __init__(self, limit: int, batch_text_bytes: int) -> None:
        """`batch_text_bytes` bounds the text in one batch. Both are in bytes."""
        self._limit = limit
        self._batch_text_bytes = batch_text_bytes
        self._reserved = 0
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> MemoryBudget:
        """Return a budget with the limits from the settings."""
        return cls(settings.model_memory_bytes, max(settings.max_batch_bytes, settings.max_record_bytes))

    def reserve(self, memory: Memory, *, slots: int, alone: bool) -> Reservation | str:
        """Reserve memory for a model that runs `slots` batches at once. Return the reason as text if it does not fit.

        `alone`: answers depend on the other rows of the batch, so a batch must not be split.
        """
        if not memory.bounded:
            return memory.why
        fixed = memory.fixed + memory.texts * self._batch_text_bytes
        rows = min(_MAX_ROWS, (self._limit // _BATCHES_PER_BUDGET - fixed) // max(1, memory.row))
        if rows < (_MAX_ROWS if alone else 1):
            return f"a row may take {memory.row} bytes, and each batch {fixed} bytes more"
        batch = fixed + memory.row * rows
        size = memory.weights + slots * batch
        with self._lock:
            if self._reserved + size > self._limit:
                return (
                    f"it may take {size} bytes; {self._reserved} of the worker's budget of {self._limit} are reserved"
                )
            self._reserved += size
        return Reservation(size, rows)

    def release(self, reservation: Reservation) -> None:
        """Return a reservation to the budget."""
        with self._lock:
            self._reserved -= reservation.size


class ChunkedPredictor:
    """A predictor that splits a batch into calls of at most `max_rows` rows."""

    def __init__(self, predictor: Predictor, max_rows: int, *, alone: bool) -> None:
        """`alone`: refuse larger batches instead of splitting them, because the answers to their rows depend on one another."""
        self.signature = predictor.signature
        self._predictor = predictor
        self._max_rows = max_rows
        self._alone = alone

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs. Raises what the model raises, and ModelRefusedInput."""
        rows = len(next(iter(inputs.values())))
        if rows <= self._max_rows:
            return self._predictor.predict(inputs)
        if self._alone:
            raise ModelRefusedInput(f"{rows} rows: this version takes at most {self._max_rows} at once", field="inputs")
        parts: list[Tensors] = []
        inside_parts: list[np.ndarray[tuple[int], np.dtype[np.bool_]]] = []
        for start in range(0, rows, self._max_rows):
            part = {name: array[start : start + self._max_rows] for name, array in inputs.items()}
            inside = np.ones(len(next(iter(part.values()))), bool)
            try:
                outputs = self._predictor.predict(part)
            except OutsideDomain as outside:
                outputs, inside = outside.outputs, outside.inside
            for array in outputs.values():
                if array.ndim == 0 or len(array) != len(inside):
                    return outputs  # the number of rows is wrong: the caller checks it
            parts.append(outputs)
            inside_parts.append(inside)
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        inside = np.concatenate(inside_parts)
        if not inside.all():
            raise OutsideDomain(inside, outputs)
        return outputs
