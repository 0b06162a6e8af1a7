"""The drift alarm and the usual tests on the same simulated windows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from modelmesh.control_plane.judge.drift_watch import BLOCKS
from numpy.typing import NDArray

from ...report import table
from ..drift_simulation import LONGEST, QUIET, Stream
from ..drift_streams import CHANGED, UNCHANGED, Case
from . import feature_tests, psi

OURS = "ModelMesh"
METHODS: dict[str, Callable[[list[NDArray[Any]], list[NDArray[Any]]], bool]] = {
    "PSI > 0.2": psi.drifts,
    "KS, chi-squared at 5 %": partial(feature_tests.drifts, corrected=False),
    "the same, Bonferroni (alibi-detect's default)": partial(feature_tests.drifts, corrected=True),
}
WINDOWS, RUNS = 20, 10
_EQUAL = (
    "reference of 100 rows, 10 numbers",
    "reference of 5,000 rows, 10 numbers",
    "20 categories, reference of 1,000 rows",
    "an id, a key, a clock",
    "autocorrelated, 0.9",
    "sessions of 20 rows",
    "a daily wave of 0.5, first 3 days",
)
_CHANGED = (
    "a shift of 0.25, 1 of 30 numbers, reference of 5,000",
    "a shift of 0.5, 1 of 30 numbers, reference of 1,000",
    "a shift of 0.5, 1 of 10 numbers, reference of 200",
    "a category's share doubles (2.8 to 5.6 %)",
    "a constant goes down",
    "missing 0 to 5 %, reference of 1,000",
    "2 % outside the range, reference of 1,000",
    "sessions of 20, a shift of 1",
    "a slow rise of 0.02 a window",
)
Say = Callable[[str], None]


def window_of(stream: Stream, *, changed: bool = False) -> dict[str, bool]:
    """Draw the next window; return which methods call it drift (ModelMesh: at its end)."""
    parts = []
    for _ in range(BLOCKS):
        stream.summary(changed=changed)
        parts.append(stream.rows)
    columns = [np.concatenate([part[number][1] for part in parts]) for number in range(len(parts[0]))]
    reference = [values for _, values in stream.reference]
    return {OURS: stream.watch.drifting, **{name: drifts(reference, columns) for name, drifts in METHODS.items()}}


def unchanged(case: Case, runs: int) -> dict[str, Any]:
    """Return how many windows each method called drift, of those after the first QUIET ones, although nothing changed."""
    found = dict.fromkeys([OURS, *METHODS], 0)
    for seed in range(runs):
        stream = Stream(case, seed)
        judged = [window_of(stream) for _ in range(QUIET + WINDOWS)][QUIET:]
        found = {name: count + sum(one[name] for one in judged) for name, count in found.items()}
    return {"windows": runs * WINDOWS, "drift": found}


def changed(case: Case, runs: int) -> dict[str, Any]:
    """Return after how many windows each method found the change; a method that called drift just before has found nothing."""
    found: dict[str, list[int]] = {name: [] for name in [OURS, *METHODS]}
    for seed in range(runs):
        stream = Stream(case, seed)
        before = [window_of(stream) for _ in range(max(QUIET, case.skipped))][-1]
        left = {name for name, drifting in before.items() if not drifting}
        for number in range(1, LONGEST + 1):
            now = window_of(stream, changed=True) if left else {}
            for name in [name for name in left if now[name]]:
                found[name].append(number)
                left.remove(name)
    return {"runs": runs, "windows": found}


def simulate(say: Say, share: float) -> dict[str, Any]:
    """Return the figures by condition."""
    figures: dict[str, Any] = {"unchanged": {}, "changed": {}}
    runs = max(2, round(RUNS * share))
    for kind, names, cases, measure in (
        ("unchanged", _EQUAL, UNCHANGED, unchanged),
        ("changed", _CHANGED, CHANGED, changed),
    ):
        for case in (case for case in cases if case.name in names):
            figures[kind][case.name] = measure(case, runs)
            say(f"{case.name}, beside others: {figures[kind][case.name]}")
    return figures


def page(figures: dict[str, Any]) -> str:
    """Return the section of docs/judgement.md."""
    columns = [OURS, *METHODS]
    equal = [
        [name, found["windows"], *(found["drift"][column] for column in columns)]
        for name, found in figures["unchanged"].items()
    ]
    different = [
        [name, *(_cell(found["windows"][column], found["runs"]) for column in columns)]
        for name, found in figures["changed"].items()
    ]
    return "\n\n".join(
        [
            f"Nothing changes: windows called drift, after the first {QUIET} of each stream.",
            table(["stream", "windows", *columns], equal),
            f"Something changes: how many runs found it, and the median of the windows of 1,000 rows until then "
            f"(missed after {LONGEST}). A run in which a method called drift in the window before the change is not found by it.",
            table(["change", *columns], different),
        ]
    )


def _cell(windows: list[int], runs: int) -> str:
    return f"{len(windows)} of {runs}" + (f", {median(windows):g}" if windows else "")
