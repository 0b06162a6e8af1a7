"""The rows that a version was asked with since the last summary: as many as a bound of bytes lets be held and looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.proof.measures import Column, category_of, is_text, text_columns
from ..models.proof.profile import LEARNED_VALUES, columns_of, count_columns, weight_of
from ..models.values.tensors import Tensors
from ..schemas.payloads.observations import FeatureCounts
from ..schemas.payloads.profiles import Profile

# Of one version between two summaries; the first row is always held. A table of 30 numbers has 8,000 rows in it.
HELD_BYTES = 2 * 1024 * 1024


class WatchedRows:
    """Batches of one version, or as much of them as fits. Reading them waits for the summary."""

    def __init__(self) -> None:
        self._batches: list[Tensors] = []
        self._room = HELD_BYTES

    def add(self, inputs: Tensors) -> None:
        """Hold a batch, or its first rows; what does not fit is not watched."""
        rows = len(next(iter(inputs.values()), ()))
        if not rows or self._room <= 0:
            return
        size = sum(map(_bytes_of, inputs.values()))
        if size > self._room:
            # A copy: a part that is a view would keep all of it.
            rows = max(not self._batches, rows * self._room // size)
            inputs = {name: array[:rows].copy() for name, array in inputs.items()}
        self._room -= size
        if rows:
            self._batches.append(inputs)

    def counts(self, profile: Profile) -> FeatureCounts:
        """Return the rows counted on the bins of a profile."""
        columns = self._columns()
        return FeatureCounts(rows=_rows(columns), counts=count_columns(profile, columns))

    def raw(self, texts: set[str]) -> FeatureCounts:
        """Return the rows for a reference to be made of; of columns in `texts`, and those that turn out to be, the measures."""
        columns: list[Column] = []
        measured: dict[str, str] = {}
        for name, values in self._columns():
            if values.dtype.kind in "OUS" and (name in texts or is_text(values)):
                texts.add(name)
                found = text_columns(name, values)
                measured |= {measure: name for measure, _ in found}
                columns += found
            else:
                columns.append((name, values))
        most = LEARNED_VALUES // weight_of(columns)
        return FeatureCounts(
            rows=min(_rows(columns), most),
            names=[name for name, _ in columns],
            columns=[_plain(values[:most]) for _, values in columns],
            measured=measured,
        )

    def _columns(self) -> list[Column]:
        """Return the columns of all batches. Those whose rows have another shape than the first one's may lack some."""
        parts: dict[str, list[NDArray[Any]]] = {}
        for batch in self._batches:
            found = columns_of(batch)
            if parts and {name for name, _ in found} != parts.keys():
                continue
            for name, values in found:
                parts.setdefault(name, []).append(values)
        return [(name, np.concatenate(arrays)) for name, arrays in parts.items()]


def halved(counts: FeatureCounts) -> FeatureCounts:
    """Return raw rows without the second half of them."""
    rows = counts.rows // 2
    return counts.model_copy(update={"rows": rows, "columns": [column[:rows] for column in counts.columns]})


def _rows(columns: Iterable[Column]) -> int:
    return len(next((values for _, values in columns), ()))


def _bytes_of(array: NDArray[Any]) -> int:
    if array.dtype.kind != "O":
        return array.nbytes
    return sum(len(value) + 64 if isinstance(value, str | bytes) else 32 for value in array.ravel())


def _plain(values: NDArray[Any]) -> list[float | str | None]:
    """Return a column as JSON has it: text, numbers, and null for what is missing."""
    if values.dtype.kind in "OUS":
        return [None if value is None else category_of(value) for value in values]
    numbers = values.astype(np.float64)
    return [value if np.isfinite(value) else None for value in numbers.tolist()]
