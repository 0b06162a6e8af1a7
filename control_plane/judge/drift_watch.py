"""Compare one version's live rows with its reference, window by window; without a reference, learn it from the first rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...models.proof.drift_figures import figures, scores_of
from ...schemas.payloads.observations import FeatureCounts, Summary
from ...schemas.payloads.packed import Packed, nothing
from ...schemas.payloads.profiles import Profile
from ...stats.drift_scores import Floats, Scores
from ...stats.drift_tests import distances
from . import reference_learning, stream_variation
from .deduplication import Deduplicator
from .reference_learning import Learning
from .stream_variation import StreamVariation

# Blocks of a window: their means show how much the rows of a block depend on each other.
BLOCKS = 8
# Drift, once found, lasts until the smallest corrected p-value is above this: a reference by the edge of what is allowed does
# not raise the alarm again and again.
OVER = 0.1


class DriftWatch(BaseModel):
    """The drift state of a version. The rolling window is two halves, `older` and `newer`; `block` is part of neither yet."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    seen: Deduplicator = Field(default_factory=Deduplicator)
    learning: Learning = Field(default_factory=Learning)
    rows: int = 0
    block: Packed = Field(default_factory=nothing)
    block_rows: int = 0
    newer: Packed = Field(default_factory=nothing)
    newer_rows: int = 0
    older: Packed = Field(default_factory=nothing)
    older_rows: int = 0
    windows: int = 0
    fresh: bool = Field(default=False, description="whether `older` is not yet part of a judged window")
    level: float = 0.0
    drifting: bool = False
    features: list[dict[str, Any]] = Field(default_factory=list, description="of the last rolling window")
    window_rows: int = 0
    variation: StreamVariation = Field(default_factory=StreamVariation)


class DriftNews(BaseModel):
    """The result of a summary: a learned reference, or an alarm with the drifted features."""

    profile: Profile | None = None
    alarm: list[dict[str, Any]] = Field(default_factory=list)
    block_ended: bool = Field(default=False, description="whether the stream's variation has changed")


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
        return DriftNews(profile=reference_learning.learn(watch.learning, found, window))
    if not profile.features or [len(counts) for counts in found.counts] != [one.bins for one in profile.features]:
        return DriftNews()  # the worker does not have the reference yet
    _add(watch, found)
    if BLOCKS * watch.block_rows < window:
        return DriftNews()
    scores = scores_of(profile)
    _end_block(watch, scores)
    if 2 * watch.newer_rows < window:
        return DriftNews(block_ended=True)
    return DriftNews(alarm=_end_half(watch, profile, scores, alarm), block_ended=True)


def _add(watch: DriftWatch, found: FeatureCounts) -> None:
    counts = np.fromiter(chain.from_iterable(found.counts), np.float64)
    if len(watch.block) != len(counts):  # the first rows on these bins
        watch.learning = Learning()
        watch.block, watch.newer, watch.older = np.zeros(len(counts)), np.zeros(len(counts)), nothing()
        watch.block_rows = watch.newer_rows = watch.older_rows = 0
        watch.fresh, watch.variation = False, StreamVariation()
    watch.block = watch.block + counts
    watch.block_rows += found.rows
    watch.rows += found.rows


def _end_block(watch: DriftWatch, scores: Scores) -> None:
    stream_variation.add_block(watch.variation, scores, watch.block, watch.block_rows)
    watch.newer, watch.newer_rows = watch.newer + watch.block, watch.newer_rows + watch.block_rows
    watch.block, watch.block_rows = np.zeros(len(watch.block)), 0


def _end_half(watch: DriftWatch, profile: Profile, scores: Scores, alarm: float) -> list[dict[str, Any]]:
    """Compare the rolling window. Every second window shares no rows with the last judged one, and is judged."""
    judged = watch.fresh
    news: list[dict[str, Any]] = []
    if len(watch.older):
        counts = watch.older + watch.newer
        if judged:
            stream_variation.close_window(watch.variation, scores, counts)
        watch.window_rows = watch.older_rows + watch.newer_rows
        z, variance = distances(scores, counts)
        effects, degrees = stream_variation.design_effects(watch.variation, scores, variance)
        watch.features = figures(profile, scores, counts, effects, degrees)
        if judged:
            # The first blocks only show how much the stream varies.
            news = _judge(watch, alarm) if watch.variation.degrees else []
            stream_variation.note_window(watch.variation, scores, counts, z, variance)
    watch.fresh = not judged
    watch.older, watch.older_rows = watch.newer, watch.newer_rows
    watch.newer, watch.newer_rows = np.zeros(len(watch.older)), 0
    return news


def _judge(watch: DriftWatch, alarm: float) -> list[dict[str, Any]]:
    smallest = min(feature["p"] for feature in watch.features)
    watch.windows += 1
    watch.level = 1 / smallest
    was = watch.drifting
    watch.drifting = smallest <= (OVER if was else alarm)
    if was or not watch.drifting:
        return []
    worst = sorted(watch.features, key=lambda feature: (feature["p"], -feature["psi"]))
    return [feature for feature in worst if feature["p"] <= OVER][:5]


def histograms(watch: DriftWatch, profile: Profile | None) -> list[tuple[list[int], list[int]]]:
    """Return each feature's counts, for the reference and for the rolling window."""
    if profile is None:
        return []
    sizes = [feature.bins for feature in profile.features]
    live = _sum([counts for counts in (watch.older, watch.newer, watch.block) if len(counts) == sum(sizes)], sum(sizes))
    begins = np.cumsum([0, *sizes])
    return [
        (list(feature.counts), live[begin : begin + feature.bins].astype(int).tolist())
        for feature, begin in zip(profile.features, begins, strict=False)
    ]


def _sum(counts: Sequence[Floats], size: int) -> Floats:
    return np.sum(counts, axis=0) if counts else np.zeros(size)
