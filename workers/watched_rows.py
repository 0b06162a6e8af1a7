"""A sample of the rows of a version's requests since the last summary, within a limit of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.proof.measures import Column, category_of, is_text, text_columns
from ..models.proof.profile import columns_of, count_columns, weight_of
from ..models.values.tensors import Tensors
from ..schemas.payloads.observations import FeatureCounts
from ..schemas.payloads.profiles import Profile

# Of one version between two summaries; the first row is always kept. Enough for 8,000 rows of 30 numbers.
MAX_BYTES = 2 * 1024 * 1024
# Raw values in a summary, while a reference is learned: 133 rows of 30 numbers. The control process parses and stores them.
RAW_VALUES = 4_000


class WatchedRows:
    """Batches of one version, as many as fit. They are only evaluated for the summary."""

    def __init__(self) -> None:
        self._batches: list[Tensors] = []
        self._remaining = MAX_BYTES

    def add(self, inputs: Tensors) -> None:
        """Keep a batch, or as many of its first rows as fit."""
        rows = len(next(iter(inputs.values()), ()))
        if not rows or self._remaining <= 0:
            return
        size = sum(map(bytes_of, inputs.values()))
        if size > self._remaining:
            # A copy: a view would keep the whole array alive.
            rows = max(not self._batches, rows * self._remaining // size)
            inputs = {name: array[:rows].copy() for name, array in inputs.items()}
        self._remaining -= size
        if rows:
            self._batches.append(inputs)

    def counts(self, profile: Profile) -> FeatureCounts:
        """Return the rows as counts on a profile's bins."""
        columns = self._columns()
        return FeatureCounts(rows=_rows(columns), counts=count_columns(profile, columns))

    def raw(self, texts: set[str]) -> FeatureCounts:
        """Return raw rows for a learned reference: at most RAW_VALUES values, spread evenly over the rows, or one row.

        Text columns are added to `texts` and replaced by their measures.
        """
        columns: list[Column] = []
        measured: dict[str, str] = {}
        for name, values in _spread(self._columns()):
            if values.dtype.kind in "OUS" and (name in texts or is_text(values)):
                texts.add(name)
                found = text_columns(name, values)
                measured |= {measure: name for measure, _ in found}
                columns += found
            else:
                columns.append((name, values))
        columns = _spread(columns)
        return FeatureCounts(
            rows=_rows(columns),
            names=[name for name, _ in columns],
            columns=[_plain(values) for _, values in columns],
            measured=measured,
        )

    def _columns(self) -> list[Column]:
        """Return the columns of all batches with the same columns as the first."""
        parts: dict[str, list[NDArray[Any]]] = {}
        for batch in self._batches:
            found = columns_of(batch)
            if parts and {name for name, _ in found} != parts.keys():
                continue
            for name, values in found:
                parts.setdefault(name, []).append(values)
        return [(name, np.concatenate(arrays)) for name, arrays in parts.items()]


def _spread(columns: list[Column]) -> list[Column]:
    """Return as many rows as RAW_VALUES allows, at even distances."""
    rows, most = _rows(columns), max(1, RAW_VALUES // weight_of(columns))
    if rows <= most:
        return columns
    chosen = np.arange(most) * rows // most
    return [(name, values[chosen]) for name, values in columns]


def halved(counts: FeatureCounts) -> FeatureCounts:
    """Return the first half of raw rows."""
    rows = counts.rows // 2
    return counts.model_copy(update={"rows": rows, "columns": [column[:rows] for column in counts.columns]})


def _rows(columns: Iterable[Column]) -> int:
    return len(next((values for _, values in columns), ()))


def bytes_of(array: NDArray[Any]) -> int:
    """Return an array's bytes, with those of the texts in it."""
    if array.dtype.kind != "O":
        return array.nbytes
    return sum(len(value) + 64 if isinstance(value, str | bytes) else 32 for value in array.ravel())


def _plain(values: NDArray[Any]) -> list[float | str | None]:
    """Return a column as JSON values: text, numbers, and null for missing values."""
    if values.dtype.kind in "OUS":
        return [None if value is None else category_of(value) for value in values]
    numbers = values.astype(np.float64)
    return [value if np.isfinite(value) else None for value in numbers.tolist()]
