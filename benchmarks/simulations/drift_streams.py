"""Streams of rows for the drift simulation: what does not change but looks as if, and what does change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Random = np.random.Generator
Columns = list[tuple[str, NDArray[Any]]]
# Returns `rows` columns that begin at row `first` of the stream; `state` is kept between the calls of one stream.
Draw = Callable[[Random, int, int, dict[str, Any]], Columns]
# Rows of the simulated day: 50 windows of 1,000.
DAY = 50_000


@dataclass(frozen=True)
class Case:
    """A stream and its reference: `reference` rows, drawn like the stream or (`own`) by another function."""

    name: str
    draw: Draw
    reference: int = 5000
    own: Draw | None = None
    changed: Draw | None = None  # the stream after a true change; None: it never changes
    references: int = 60  # drawn for a stream that never changes, with `windows` windows each
    windows: int = 50
    skipped: int = 0  # windows before those that are counted, or before the change


def normal(features: int, shift: float = 0.0) -> Draw:
    """Independent normal columns, the first shifted by `shift` standard deviations."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        values = random.normal(size=(rows, features))
        values[:, 0] += shift
        return [(f"x{number}", values[:, number]) for number in range(features)]

    return draw


def categories(count: int, doubled: float = 0.0) -> Draw:
    """One column of `count` words, Zipf; `doubled`: extra probability of the tenth most frequent."""
    shares = 1 / np.arange(1, count + 1)
    shares /= shares.sum()
    shares = shares * (1 - doubled)
    shares[min(9, count - 1)] += doubled
    words = np.array([f"word {number}" for number in range(count)], dtype=object)

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        return [("word", words[random.choice(count, rows, p=shares)])]

    return draw


def identifiers(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
    """A number and a string that are new in each row, a clock, and a column that may be watched."""
    begin = state.setdefault("id", 0)
    state["id"] += rows
    numbers = np.arange(begin, begin + rows)
    return [
        ("number", numbers.astype(float)),
        ("key", np.array([f"order-{number:08d}" for number in numbers], dtype=object)),
        ("clock", 1.7e9 + numbers * 0.4 + random.random(rows) * 0.1),
        ("x", random.normal(size=rows)),
    ]


def autocorrelated(rho: float, features: int = 5, shift: float = 0.0) -> Draw:
    """AR(1) columns with variance 1."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        noise = random.normal(size=(rows, features)) * np.sqrt(1 - rho**2)
        last = state.get("last", random.normal(size=features))
        values, _ = lfilter([1], [1, -rho], noise, axis=0, zi=(rho * last)[None, :])
        state["last"] = values[-1]
        return [(f"x{number}", values[:, number] + shift * (number == 0)) for number in range(features)]

    return draw


def sessions(length: int, features: int = 5, shift: float = 0.0) -> Draw:
    """Each session sends `length` rows with values of its own and a tenth of noise, and one of 12 categories."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        count = rows // length + 1
        users = random.normal(size=(count, features)).repeat(length, axis=0)[:rows]
        values = np.sqrt(0.9) * users + np.sqrt(0.1) * random.normal(size=users.shape)
        values[:, 0] += shift
        words = np.array([f"c{number}" for number in random.integers(0, 12, count)], dtype=object)
        found: Columns = [(f"x{number}", values[:, number]) for number in range(features)]
        return [*found, ("word", words.repeat(length)[:rows])]

    return draw


def wave(amplitude: float, features: int = 5, shift: float = 0.0) -> Draw:
    """Columns whose mean goes up and down in a day of DAY rows by `amplitude` standard deviations."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        height = amplitude * np.sin(2 * np.pi * (first + np.arange(rows)) / DAY)
        values = random.normal(size=(rows, features)) + height[:, None]
        values[:, 0] += shift
        return [(f"x{number}", values[:, number]) for number in range(features)]

    return draw


def any_hour(amplitude: float, features: int = 5) -> Draw:
    """Rows of any hour of `wave`, as in shuffled training data."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        height = amplitude * np.sin(2 * np.pi * random.random(rows))
        values = random.normal(size=(rows, features)) + height[:, None]
        return [(f"x{number}", values[:, number]) for number in range(features)]

    return draw


def constant(value: float, share: float = 1.0) -> Draw:
    """A column that is 3, of which `share` is `value`, and a normal column."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        values = np.where(random.random(rows) < share, value, 3.0)
        return [("constant", values), ("x", random.normal(size=rows))]

    return draw


def missing(share: float) -> Draw:
    """Ten normal columns, of the first of which `share` is missing."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        values = random.normal(size=(rows, 10))
        values[random.random(rows) < share, 0] = np.nan
        return [(f"x{number}", values[:, number]) for number in range(10)]

    return draw


def outside(share: float) -> Draw:
    """Ten normal columns; of the first, `share` lies far outside."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        values = random.normal(size=(rows, 10))
        values[random.random(rows) < share, 0] = 25.0
        return [(f"x{number}", values[:, number]) for number in range(10)]

    return draw


def trend(features: int, slope: float) -> Draw:
    """The first column's mean rises by `slope` standard deviations a window of 1,000 rows."""

    def draw(random: Random, rows: int, first: int, state: dict[str, Any]) -> Columns:
        values = random.normal(size=(rows, features))
        values[:, 0] += slope * (first - state.setdefault("begin", first) + np.arange(rows)) / 1000
        return [(f"x{number}", values[:, number]) for number in range(features)]

    return draw


UNCHANGED = [
    *(Case(f"reference of {rows:,} rows, 10 numbers", normal(10), rows) for rows in (100, 200, 560, 1000, 5000)),
    Case("100 numbers", normal(100), windows=20),
    *(Case(f"{count} categories, reference of 1,000 rows", categories(count), 1000) for count in (20, 50)),
    Case("355 categories, reference of 1,000 rows", categories(355), 1000, windows=20),
    Case("20 categories, reference of 100 rows", categories(20), 100),
    Case("an id, a key, a clock", identifiers, 1000),
    Case("autocorrelated, 0.9", autocorrelated(0.9)),
    Case("autocorrelated, 0.9, its first 1,000 rows", autocorrelated(0.9), 1000),
    Case("autocorrelated, 0.99", autocorrelated(0.99)),
    Case("sessions of 20 rows", sessions(20)),
    Case("sessions of 20 rows, reference of 1,000 rows", sessions(20), 1000),
    Case("a daily wave of 0.5, first 3 days", wave(0.5), own=any_hour(0.5), references=20, windows=150),
    Case("a daily wave of 0.5, then", wave(0.5), own=any_hour(0.5), references=20, windows=150, skipped=150),
]
CHANGED = [
    *(
        Case(f"a shift of {shift}, 1 of 30 numbers, reference of {rows:,}", normal(30), rows, None, normal(30, shift))
        for shift in (0.25, 0.5)
        for rows in (560, 1000, 5000)
    ),
    Case("a shift of 0.5, 1 of 100 numbers", normal(100), changed=normal(100, 0.5)),
    Case("a shift of 0.25, 1 of 10 numbers, reference of 200", normal(10), 200, changed=normal(10, 0.25)),
    Case("a shift of 0.5, 1 of 10 numbers, reference of 200", normal(10), 200, changed=normal(10, 0.5)),
    Case("a category's share doubles (2.8 to 5.6 %)", categories(20), changed=categories(20, 0.0285)),
    Case("a constant goes up", constant(3.0), changed=constant(4.0)),
    Case("a constant goes down", constant(3.0), changed=constant(2.0)),
    Case("a constant changes in 2 % of the rows", constant(3.0), changed=constant(2.0, 0.02)),
    Case("missing 0 to 5 %, reference of 1,000", missing(0), 1000, changed=missing(0.05)),
    Case("2 % outside the range, reference of 1,000", outside(0), 1000, changed=outside(0.02)),
    Case("autocorrelated 0.9, a shift of 1", autocorrelated(0.9), changed=autocorrelated(0.9, shift=1)),
    Case("sessions of 20, a shift of 1", sessions(20), changed=sessions(20, shift=1.0)),
    Case(
        "a daily wave of 0.5, a shift of 1.5", wave(0.5), own=any_hour(0.5), changed=wave(0.5, shift=1.5), skipped=150
    ),
    Case("a slow rise of 0.02 a window", normal(10), changed=trend(10, 0.02)),
]
