"""Kinds of input: what a model is trained on, and the questions that it is asked afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

_TRAIN, _FRESH = 120, 40
_CITIES = np.array(["Oslo", "Bern", "Zürich", "Lima"], object)
_WORDS = ["good", "bad", "food", "service", "café", "Gemüse", "very", "never", "again", "GREAT"]


@dataclass(frozen=True)
class Inputs:
    """`rows` to train on, and `asked`: parts of one question each, the first ones usual, the others at the edges.

    `hidden` (rows, 3) are the numbers that targets are made from.
    """

    rows: Any
    asked: list[Any]
    hidden: np.ndarray[Any, Any]


def _numbers(seed: int, count: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(count, 5))


def _with_edges(rows: Any, fresh: Any, edges: list[tuple[int, Any]]) -> list[Any]:
    """Return all fresh rows together, one alone, all in another order, and a row with each edge value in its column."""

    def take(at: Any) -> Any:
        return fresh.iloc[at] if hasattr(fresh, "iloc") else fresh[at]

    order = np.random.default_rng(3).permutation(len(fresh))
    asked = [fresh, take(slice(3, 4)), take(order[:9]), rows[:30]]
    for column, value in edges:
        row = take(slice(0, 1)).copy()
        if hasattr(row, "iloc"):
            row[row.columns[column]] = pd.Series([value], index=row.index, dtype=row.dtypes.iloc[column])
        else:
            row[0, column] = value
        asked.append(row)
    return asked


_FLOAT_EDGES = [(0, value) for value in (0.0, -0.0, np.nan, np.inf, -np.inf, 1e300, 1e39, 5e-324, 2.0**53 + 2, 1e6)]


def _float64() -> Inputs:
    rows, fresh = _numbers(0, _TRAIN), _numbers(1, _FRESH) * 2
    asked = _with_edges(rows, fresh, _FLOAT_EDGES)
    return Inputs(rows, [*asked, np.zeros((2, 5)), fresh * 1000], rows)


def _float32() -> Inputs:
    rows, fresh = _numbers(0, _TRAIN).astype(np.float32), (_numbers(1, _FRESH) * 2).astype(np.float32)
    edges = [(column, np.float32(value)) for column, value in ((0, 0), (1, np.nan), (2, np.inf), (3, 3e38), (0, 1e-45))]
    return Inputs(rows, _with_edges(rows, fresh, edges), rows)


def _positive() -> Inputs:
    rows, fresh = np.abs(_numbers(0, _TRAIN)), np.abs(_numbers(1, _FRESH)) * 2
    return Inputs(rows, _with_edges(rows, fresh, _FLOAT_EDGES), rows)


def _int64() -> Inputs:
    rows, fresh = (
        np.round(_numbers(0, _TRAIN) * 9).astype(np.int64),
        np.round(_numbers(1, _FRESH) * 20).astype(np.int64),
    )
    edges = [(0, 0), (1, 2**24 + 1), (2, 2**53 + 1), (3, -(2**53) - 1), (0, 2**62)]
    return Inputs(rows, _with_edges(rows, fresh, edges), rows)


def _bool() -> Inputs:
    rows, fresh = _numbers(0, _TRAIN) > 0, _numbers(1, _FRESH) > 0
    return Inputs(rows, _with_edges(rows, fresh, [(0, True), (1, False)]), rows)


def _missing() -> Inputs:
    rows, fresh = _numbers(0, _TRAIN), _numbers(1, _FRESH)
    hidden = rows.copy()
    rows[::5, 0], fresh[::3, 0], fresh[::4, 2] = np.nan, np.nan, np.nan
    hidden[::5, 0] = -2
    return Inputs(rows, _with_edges(rows, fresh, [(1, np.nan), (0, np.inf)]), hidden)


def _frame() -> Inputs:
    def table(seed: int, count: int) -> pd.DataFrame:
        numbers = _numbers(seed, count)
        return pd.DataFrame(
            {
                "amount": numbers[:, 0] * 100, "age": np.round(numbers[:, 1] * 10).astype(np.int64) + 40,
                "new": numbers[:, 2] > 0, "rate": numbers[:, 3].astype(np.float32),
            }
        )  # fmt: skip

    rows, fresh = table(0, _TRAIN), table(1, _FRESH)
    edges = [(0, np.nan), (0, 1e300), (1, 2**53 + 1), (3, np.float32(1e30)), (2, True)]
    return Inputs(rows, _with_edges(rows, fresh, edges), _numbers(0, _TRAIN))


def _table() -> Inputs:
    def table(seed: int, count: int) -> pd.DataFrame:
        numbers = _numbers(seed, count)
        words = np.random.default_rng(seed).choice(_WORDS, (count, 3))
        return pd.DataFrame(
            {
                "amount": numbers[:, 0] * 100, "age": np.round(numbers[:, 1] * 10).astype(np.int64) + 40,
                "city": _CITIES[np.abs(np.round(numbers[:, 2])).astype(int) % 4],
                "note": np.array([" ".join(row) for row in words], object),
            }
        )  # fmt: skip

    rows, fresh = table(0, _TRAIN), table(1, _FRESH)
    texts = ("", "Paris", "oslo", "Oslo ", "Oslo\0", "Zu\u0308rich", "日本語", "x" * 3000)
    edges = [(2, text) for text in texts] + [(3, text) for text in texts] + [(0, np.nan), (1, 2**53 + 1)]
    return Inputs(rows, _with_edges(rows, fresh, edges), _numbers(0, _TRAIN))


def _text() -> Inputs:
    def texts(seed: int, count: int) -> list[str]:
        return [" ".join(row) for row in np.random.default_rng(seed).choice(_WORDS, (count, 4))]

    odd = [
        "",
        " ",
        "CAFÉ good",
        "e\u0301cole",
        "İstanbul",
        "good\tbad\nfood",
        "good\u00a0bad",
        "日本語 good",
        "👍",
        "x" * 3000,
    ]
    rows, fresh = texts(0, _TRAIN), texts(1, _FRESH)
    hidden = np.array([[row.count(word) - 0.5 for word in ("good", "bad", "food")] for row in rows])
    return Inputs(rows, [fresh, fresh[:1], *[[text] for text in odd]], hidden)


KINDS: dict[str, Callable[[], Inputs]] = {
    "float64": _float64, "float32": _float32, "positive": _positive, "int64": _int64, "bool": _bool, "missing": _missing,
    "frame": _frame, "table": _table, "text": _text,
}  # fmt: skip


def targets(inputs: Inputs) -> dict[str, Any]:
    """Return what may be learned: two classes as text, three as numbers, a number, a positive one, several of each."""
    hidden = inputs.hidden
    first, second, third = (np.nan_to_num(hidden[:, at].astype(float)) for at in range(3))
    two = np.where(first + second * third > np.median(first + second * third), "yes", "no")
    three = (first > np.quantile(first, 0.33)).astype(int) + (first > np.quantile(first, 0.66))
    number = first * 3 + second * third
    return {
        "two": two, "three": three, "floats": (first > np.median(first)).astype(float), "number": number,
        "positive": np.exp(np.clip(number / 10, -3, 3)), "numbers": np.column_stack([number, second]),
        "labels": np.column_stack([(first > 0).astype(int), (second > 0).astype(int)]),
    }  # fmt: skip
