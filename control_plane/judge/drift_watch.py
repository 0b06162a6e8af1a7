"""Compare one version's live rows with its reference in rolling windows; without a reference, learn it from the first rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from ...models.proof.profile import LEARNED_VALUES, build_profile, weight_of
from ...schemas.payloads.observations import FeatureCounts, Summary
from ...schemas.payloads.profiles import Profile
from ...stats.drift import FeatureDrift, compare_feature, next_alarm_level
from .deduplication import Deduplicator

Counts = list[list[int]]


class DriftWatch(BaseModel):
    """The drift state of a version. The rolling window is `previous` and `half`, the half-window being filled."""

    seen: Deduplicator = Field(default_factory=Deduplicator)
    names: list[str] = Field(default_factory=list)
    columns: list[list[float | str | None]] = Field(
        default_factory=list, description="the first rows, for the reference"
    )
    rows: int = 0
    half: Counts = Field(default_factory=list)
    half_rows: int = 0
    previous: Counts = Field(default_factory=list)
    previous_rows: int = 0
    windows: int = 0
    fresh: bool = Field(default=False, description="whether `previous` is not yet part of a judged window")
    level: float = 0.0
    drifting: bool = False
    features: list[dict[str, Any]] = Field(default_factory=list, description="of the last rolling window")
    window_rows: int = 0


class DriftNews(BaseModel):
    """The result of a summary: a learned reference, or an alarm with the drifted features."""

    profile: Profile | None = None
    alarm: list[dict[str, Any]] = Field(default_factory=list)


def take_in(
    watch: DriftWatch, summary: Summary, version: str, profile: Profile | None, *, window: int, alarm: float
) -> DriftNews:
    """Add a summary's rows; a repeated summary changes nothing.

    `window`: rows; `alarm`: the accepted rate of false alarms per window.
    """
    found = summary.features.get(version)
    if found is None or not found.rows or not watch.seen.is_new(summary.worker, summary.epoch, summary.seq):
        return DriftNews()
    if profile is None:
        return DriftNews(profile=_learn(watch, found, window))
    if len(found.counts) != len(profile.features):
        return DriftNews()  # the worker does not have the reference yet
    watch.columns, watch.names = [], []
    watch.half = _sum(watch.half, found.counts)
    watch.half_rows += found.rows
    watch.rows += found.rows
    if 2 * watch.half_rows < window:
        return DriftNews()
    return DriftNews(alarm=_close_half(watch, profile, alarm))


def _learn(watch: DriftWatch, found: FeatureCounts, window: int) -> Profile | None:
    if not found.columns or len(found.columns) != len(found.names):
        return None
    if watch.names and watch.names != found.names:
        # A worker saw a long text and sends measures of that column from now on; the other workers will follow.
        if len(found.names) <= len(watch.names):
            return None
        watch.columns = []
    watch.names = found.names
    known = watch.columns or [[] for _ in found.names]
    watch.columns = [[*column, *more] for column, more in zip(known, found.columns, strict=True)]
    columns = [(name, _array(column)) for name, column in zip(watch.names, watch.columns, strict=True)]
    if len(watch.columns[0]) < min(window, LEARNED_VALUES // weight_of(columns)):
        return None
    profile = build_profile(columns, "live")
    if profile is None or not found.measured:
        return profile
    features = [
        feature.model_copy(update={"of": found.measured.get(feature.name, feature.of)}) for feature in profile.features
    ]
    return profile.model_copy(update={"features": tuple(features)})


def _array(column: Sequence[float | str | None]) -> Any:
    if any(isinstance(value, str) for value in column):
        return np.array(column, dtype=object)
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)


def _sum(one: Counts, other: Counts) -> Counts:
    if not one:
        return [list(feature) for feature in other]
    return [[a + b for a, b in zip(ours, theirs, strict=True)] for ours, theirs in zip(one, other, strict=True)]


def _close_half(watch: DriftWatch, profile: Profile, alarm: float) -> list[dict[str, Any]]:
    """Compare the rolling window. Every second window shares no rows with the last judged one, and is judged."""
    judged = watch.fresh
    news: list[dict[str, Any]] = []
    if watch.previous:
        drifts = compare(profile, _sum(watch.previous, watch.half))
        watch.window_rows = watch.previous_rows + watch.half_rows
        watch.features = [asdict(drift) for drift in drifts]
        if judged:
            news = _judge(watch, drifts, alarm)
    watch.fresh = not judged
    watch.previous, watch.previous_rows = watch.half, watch.half_rows
    watch.half, watch.half_rows = [], 0
    return news


def _judge(watch: DriftWatch, drifts: list[FeatureDrift], alarm: float) -> list[dict[str, Any]]:
    watch.windows += 1
    watch.level = next_alarm_level(watch.level, min(drift.p for drift in drifts))
    was, watch.drifting = watch.drifting, watch.level >= 1 / alarm
    if not watch.drifting:
        return []
    watch.level = 0.0
    worst = sorted(drifts, key=lambda drift: (drift.p, -drift.psi))
    named = [drift for drift in worst if drift.p <= 0.05] or worst[:1]
    return [] if was else [asdict(drift) for drift in named[:5]]


def compare(profile: Profile, counts: Counts) -> list[FeatureDrift]:
    """Return each feature's distance from the reference."""
    return [
        compare_feature(feature.name, feature.counts, window, ordered=feature.ordered, features=len(profile.features))
        for feature, window in zip(profile.features, counts, strict=True)
    ]


def histograms(watch: DriftWatch, profile: Profile | None) -> list[tuple[list[int], list[int]]]:
    """Return each feature's counts, for the reference and for the rolling window."""
    if profile is None:
        return []
    empty = [[0] * len(feature.counts) for feature in profile.features]
    return [
        (list(feature.counts), [a + b for a, b in zip(old, new, strict=False)])
        for feature, old, new in zip(profile.features, watch.previous or empty, watch.half or empty, strict=False)
    ]
