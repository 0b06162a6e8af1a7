"""The drift alarm over simulated streams: how often it comes without a change, and how soon with one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from modelmesh.control_plane.judge import drift_watch
from modelmesh.control_plane.judge.drift_watch import BLOCKS, DriftWatch
from modelmesh.models.proof.profile import build_profile, count_columns
from modelmesh.schemas.payloads.observations import FeatureCounts, Summary
from modelmesh.schemas.settings.control import ControlSettings
from scipy.stats import gamma

from .drift_streams import CHANGED, DAY, UNCHANGED, Case, Columns

WINDOW = 1000
SUMMARY_ROWS = WINDOW // BLOCKS
# Runs with a change, and windows after which it counts as missed; it comes after QUIET windows at least.
RUNS, LONGEST, QUIET = 20, 30, 6
Say = Any


@dataclass
class Stream:
    """Rows of a case, counted as a worker counts them and judged as the control plane does it."""

    case: Case
    seed: int
    watch: DriftWatch = field(default_factory=DriftWatch)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._state: dict[str, Any] = {}
        draw = self.case.own or self.case.draw
        self.reference: Columns = draw(self._random, self.case.reference, 0, self._state)
        self.rows: Columns = []  # of the last summary
        profile = build_profile(self.reference)
        assert profile is not None
        self._profile, self._alarm = profile, ControlSettings().drift_alarm
        self._seq = 0
        # The stream begins at any time of the day.
        self._row = int(self._random.integers(0, DAY))

    def summary(self, *, changed: bool = False) -> bool:
        """Draw the rows of one summary; return whether the alarm comes."""
        draw = self.case.changed if changed and self.case.changed else self.case.draw
        self.rows = draw(self._random, SUMMARY_ROWS, self._row, self._state)
        counts = FeatureCounts(rows=SUMMARY_ROWS, counts=count_columns(self._profile, self.rows))
        self._seq += 1
        self._row += SUMMARY_ROWS
        sent = Summary(model="m", trial=1, worker="w", epoch="e", seq=self._seq, at=0.0, features={"1.0.0": counts})
        news = drift_watch.take_in(self.watch, sent, "1.0.0", self._profile, window=WINDOW, alarm=self._alarm)
        return bool(news.alarm)


def upper_bound(events: int, windows: int) -> float:
    """Return the upper 95 % bound of a Poisson rate in 1,000 windows (Garwood, 1936)."""
    return float(gamma.ppf(0.95, events + 1)) / windows * 1000


def false_alarms(case: Case, share: float) -> dict[str, Any]:
    """Return the case's alarms and drifting windows in 1,000 windows without a change, over `share` of its references."""
    references = max(2, round(case.references * share))
    alarms = drifting = unlucky = 0
    for seed in range(references):
        stream = Stream(case, seed)
        for _ in range(BLOCKS * case.skipped):
            stream.summary()
        raised = 0
        for number in range(BLOCKS * case.windows):
            raised += stream.summary()
            drifting += stream.watch.drifting and number % BLOCKS == BLOCKS - 1
        alarms, unlucky = alarms + raised, unlucky + (raised > 0)
    windows = references * case.windows
    return {
        "windows": windows,
        "alarms": 1000 * alarms / windows,
        "upper": upper_bound(alarms, windows),
        "drifting": 1000 * drifting / windows,
        "references": references,
        "references_with_alarms": unlucky,
    }


def detection(case: Case, share: float) -> dict[str, Any]:
    """Return in how many runs the change was found, and after how many windows."""
    windows: list[float] = []
    runs = max(2, round(RUNS * share))
    for seed in range(runs):
        stream = Stream(case, seed)
        # The change begins at the middle of a window as often as at its start.
        for _ in range(BLOCKS * max(QUIET, case.skipped) + BLOCKS // 2 * (seed % 2)):
            stream.summary()
        drifting = stream.watch.drifting  # a false alarm that is still on is no detection
        for number in range(BLOCKS * LONGEST):
            if stream.summary(changed=True) and not drifting:
                windows.append((number + 1) / BLOCKS)
                break
    found: dict[str, Any] = {"found": len(windows), "runs": runs}
    return found | {"median": float(np.median(windows)), "most": max(windows)} if windows else found


def simulate(say: Say) -> dict[str, Any]:
    """Return the figures of all cases; SHARE of the references and runs (default 1)."""
    share = float(os.environ.get("SHARE") or "1")
    unchanged, changed = {}, {}
    for case in UNCHANGED:
        found = unchanged[case.name] = false_alarms(case, share)
        say(f"{case.name}: {found['alarms']:.2f} alarms in 1,000 windows, at most {found['upper']:.2f}")
    for case in CHANGED:
        found = changed[case.name] = detection(case, share)
        say(f"{case.name}: found in {found['found']} of {found['runs']}, median {found.get('median')} windows")
    return {"share": share, "unchanged": unchanged, "changed": changed}
