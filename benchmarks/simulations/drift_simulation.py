"""Simulated windows of 30 features: how often the alarm comes without a shift, and how soon with one."""

from __future__ import annotations

from typing import Any

import numpy as np
from modelmesh.control_plane.judge import drift_watch
from modelmesh.control_plane.judge.drift_watch import DriftWatch
from modelmesh.models.proof.profile import build_profile, columns_of, count_rows
from modelmesh.schemas.payloads.observations import FeatureCounts, Summary
from modelmesh.schemas.settings import Settings

FEATURES = 30
WINDOW = 1000
WINDOWS = 1000
SHIFTED_RUNS = 200
SHIFT = 0.5
REFERENCE_ROWS = 5000
Say = Any


class Stream:
    """Rows from a fixed distribution, counted and judged as the control plane does it."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._profile = build_profile(columns_of({"x": self._random.normal(size=(REFERENCE_ROWS, FEATURES))}))
        self._alarm = Settings().drift_alarm
        self.watch = DriftWatch()
        self._seq = 0

    def half_window(self, shift: float = 0.0) -> bool:
        """Draw half a window, the first feature shifted; return whether the alarm comes."""
        rows = self._random.normal(size=(WINDOW // 2, FEATURES))
        rows[:, 0] += shift
        assert self._profile is not None
        counts = FeatureCounts(rows=len(rows), counts=count_rows(self._profile, {"x": rows}))
        self._seq += 1
        summary = Summary(model="m", trial=1, worker="w", epoch="e", seq=self._seq, at=0.0, features={"1.0.0": counts})
        return bool(
            drift_watch.take_in(self.watch, summary, "1.0.0", self._profile, window=WINDOW, alarm=self._alarm).alarm
        )


def simulate(say: Say) -> dict[str, Any]:
    """Return alarms without a shift, and after how many windows one with a shift comes."""
    quiet = Stream(seed=1)
    false = sum(quiet.half_window() for _ in range(2 * WINDOWS))
    say(f"{quiet.watch.windows} windows without a shift: {false} alarms")
    windows = []
    for seed in range(SHIFTED_RUNS):
        stream = Stream(seed)
        for _ in range(6 + seed % 2):  # the shift begins at the middle of a window as often as at its start
            stream.half_window()
        halves = 1
        while not stream.half_window(SHIFT) and halves < 20:
            halves += 1
        windows.append(halves / 2)
    say(
        f"a shift of {SHIFT} standard deviations in one of {FEATURES} features: found after {max(windows)} windows at most"
    )
    return {
        "windows": quiet.watch.windows,
        "false_alarms": false,
        "shifted_runs": SHIFTED_RUNS,
        "mean_windows": float(np.mean(windows)),
        "most_windows": float(max(windows)),
    }
