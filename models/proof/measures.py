"""Measures: a fixed number of statistics for a value that is too large to be compared as it is: texts, images, embeddings.

Each measure is a column with one number for each row, so drift is computed on it as on any numeric column. Random projections
show what moments do not: a change of direction in a space of many dimensions (Johnson, Lindenstrauss, 1984), and for texts,
hashed into counts of words and of letter trigrams, a change of topic or language. The measures of a value are the same in
every process.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Column = tuple[str, NDArray[Any]]
# A string of more bytes is a text. As a category it is shortened to this size.
LONGEST_CATEGORY = 64
TEXT_MEASURES = ("length", "word length", "capitals", "digits", "not ASCII", "bucket")
WORD_PROJECTIONS = TRIGRAM_PROJECTIONS = 8
# The part of a text that its measures are computed from (except its length).
READ_BYTES = 1024
BUCKETS = 32

MOMENTS = ("mean", "std", "min", "max", "zeros")
PROJECTIONS = 16
# A row of more than CELLS values is averaged into so many cells; of more than MAX_VALUES only every n-th value is read.
CELLS = 1024
MAX_VALUES = 1 << 16


def category_of(value: object) -> str:
    """Return a value as a category: its text, or for a long text its beginning and a checksum of the whole."""
    text = str(value)
    if len(text) <= LONGEST_CATEGORY // 4:
        return text
    raw = text.encode(errors="replace")
    if len(raw) <= LONGEST_CATEGORY:
        return text
    return f"{raw[: LONGEST_CATEGORY - 12].decode(errors='ignore')}...{crc32(raw):08x}"


def is_text(values: NDArray[Any]) -> bool:
    """Whether a string in the column is too long for a category."""
    return any(
        len(value) > LONGEST_CATEGORY or len(value.encode(errors="replace")) > LONGEST_CATEGORY
        for value in values
        if isinstance(value, str) and len(value) > LONGEST_CATEGORY // 4
    )


def text_columns(name: str, values: NDArray[Any]) -> list[Column]:
    """Return the measures of a column of strings, each of shape (rows,); a missing value is NaN in all of them."""
    kinds = [("words", WORD_PROJECTIONS), ("letters", TRIGRAM_PROJECTIONS)]
    names = [*TEXT_MEASURES, *(f"{kind} {number}" for kind, count in kinds for number in range(count))]
    measured = np.full((len(values), len(names)), np.nan)
    for row, value in enumerate(values):
        if value is not None and value == value:  # a float NaN is missing too
            measured[row] = _measure_text(str(value))
    return [(f"{name}: {measure}", measured[:, number]) for number, measure in enumerate(names)]


def _measure_text(text: str) -> NDArray[np.float64]:
    part = text[:READ_BYTES].encode(errors="replace")[:READ_BYTES]
    letters = np.frombuffer(part, np.uint8)
    size = max(1, len(letters))
    words = part.lower().split()
    counts = (
        len(text),
        len(part) / max(1, len(words)),
        np.count_nonzero((letters >= 65) & (letters <= 90)) / size,
        np.count_nonzero((letters >= 48) & (letters <= 57)) / size,
        np.count_nonzero(letters >= 128) / size,
        crc32(text.encode(errors="replace")) % BUCKETS,
    )
    hashed = np.fromiter(map(crc32, words), np.uint32, len(words))
    wide = letters.astype(np.uint32)
    threes = ((wide[:-2] * 65599 + wide[1:-1]) * 65599 + wide[2:]) * np.uint32(2654435761)
    return np.concatenate(
        [counts, _signs(hashed, WORD_PROJECTIONS), _signs(threes >> np.uint32(24), TRIGRAM_PROJECTIONS)]
    )


def _signs(hashes: NDArray[np.uint32], count: int) -> NDArray[np.float64]:
    """Return `count` random projections of the counts of hashes: each bit is a sign; the variance is about 1."""
    if not len(hashes):
        return np.zeros(count)
    bits = (hashes[:, None] >> np.arange(count, dtype=np.uint32)) & 1
    found: NDArray[np.float64] = (2.0 * bits.mean(axis=0) - 1.0) * np.sqrt(len(hashes))
    return found


def wide_columns(name: str, array: NDArray[Any]) -> list[Column]:
    """Return the measures of an array of numbers, (rows, ...), each of shape (rows,). Values that are not finite count as 0."""
    rows = len(array)
    flat = array.reshape(rows, -1) if rows else np.zeros((0, 1))
    read: NDArray[Any] = flat[:, :: -(-flat.shape[1] // MAX_VALUES) or 1]
    with np.errstate(over="ignore", invalid="ignore"):
        values: NDArray[Any] = np.nan_to_num(read.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        if not values.shape[1]:
            values = np.zeros((rows, 1), np.float32)
        moments = (values.mean(1), values.std(1), values.min(1), values.max(1), (values == 0).mean(1))
        projected = _cells(values) @ _directions(min(CELLS, values.shape[1]))
    columns: list[Column] = [(f"{name}: {what}", moment) for what, moment in zip(MOMENTS, moments, strict=True)]
    return columns + [(f"{name}: projection {number}", projected[:, number]) for number in range(PROJECTIONS)]


def _cells(flat: NDArray[Any]) -> NDArray[Any]:
    width = flat.shape[1]
    if width <= CELLS:
        return flat
    starts = np.arange(CELLS) * width // CELLS
    sizes = np.diff(np.append(starts, width)).astype(np.float32)
    means: NDArray[Any] = np.add.reduceat(flat, starts, axis=1) / sizes
    return means


@lru_cache(16)
def _directions(cells: int) -> NDArray[Any]:
    scaled: NDArray[Any] = np.random.default_rng(0).standard_normal((cells, PROJECTIONS)) / np.sqrt(cells)
    return scaled.astype(np.float32)
