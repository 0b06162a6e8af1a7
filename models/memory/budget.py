"""The memory budget for ONNX models that a worker runs in its own process."""

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

_AT_ONCE = 10_000  # rows that a model is handed at most, and those that are meant when its reservation is worked out
_PARTS = 8  # one batch may take this part of the budget: an eighth


@dataclass(frozen=True, slots=True)
class Reservation:
    """A model's reservation of the budget: bytes, and the limit of rows in one call."""

    held: int
    rows: int


class MemoryBudget:
    """The memory budget of all models in this process, in bytes. Thread-safe."""

    def __init__(self, most: int, texts: int) -> None:
        """`texts` bounds the text of one batch. Both in bytes."""
        self._most = most
        self._texts = texts
        self._reserved = 0
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> MemoryBudget:
        """Return a budget of the size in the settings."""
        return cls(settings.model_memory_bytes, max(settings.max_batch_bytes, settings.max_record_bytes))

    def reserve(self, memory: Memory, *, slots: int, alone: bool) -> Reservation | str:
        """Return a reservation for a model that runs `slots` batches at once; in words why not, where it needs a process of its own.

        `alone`: the model's rows may not be asked in parts.
        """
        if not memory.bounded:
            return memory.why
        fixed = memory.fixed + memory.texts * self._texts
        rows = min(_AT_ONCE, (self._most // _PARTS - fixed) // max(1, memory.row))
        if rows < (_AT_ONCE if alone else 1):
            return f"a row may take {memory.row} bytes, and what does not depend on rows {fixed}"
        batch = fixed + memory.row * rows
        held = memory.weights + slots * batch
        with self._lock:
            if self._reserved + held > self._most:
                return f"it may take {held} bytes, and of {self._most} that models in the worker may take, {self._reserved} are taken"
            self._reserved += held
        return Reservation(held, rows)

    def release(self, reservation: Reservation) -> None:
        """Release the model's reservation."""
        with self._lock:
            self._reserved -= reservation.held


class ChunkedPredictor:
    """A predictor that splits batches to a limit of rows in one call."""

    def __init__(self, predictor: Predictor, rows: int, *, alone: bool) -> None:
        """`alone`: more rows than that are refused, since their answers depend on one another."""
        self.signature = predictor.signature
        self._predictor = predictor
        self._rows = rows
        self._alone = alone

    def predict(self, inputs: Tensors) -> Tensors:
        """Return the outputs. Raises what the model raises, and ModelRefusedInput."""
        rows = len(next(iter(inputs.values())))
        if rows <= self._rows:
            return self._predictor.predict(inputs)
        if self._alone:
            raise ModelRefusedInput(f"{rows} rows: this version takes at most {self._rows} at once", field="inputs")
        parts: list[Tensors] = []
        sure: list[np.ndarray[tuple[int], np.dtype[np.bool_]]] = []
        for start in range(0, rows, self._rows):
            part = {name: array[start : start + self._rows] for name, array in inputs.items()}
            inside = np.ones(len(next(iter(part.values()))), bool)
            try:
                outputs = self._predictor.predict(part)
            except OutsideDomain as outside:
                outputs, inside = outside.outputs, outside.inside
            for array in outputs.values():
                if array.ndim == 0 or len(array) != len(inside):
                    return outputs  # the number of rows is wrong: the caller checks it
            parts.append(outputs)
            sure.append(inside)
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        inside = np.concatenate(sure)
        if not inside.all():
            raise OutsideDomain(inside, outputs)
        return outputs
