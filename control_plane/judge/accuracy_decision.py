"""What the evidence of true labels says: in words, in figures, and whether the candidate is within the margin."""

from __future__ import annotations

import math
from typing import Any

from ...schemas.payloads.label_reports import Kind
from ...schemas.payloads.releases import RunningCanary
from ...stats.intervals import difference_interval
from .accuracy_evidence import AccuracyEvidence, ArmTally


def worse_in_words(accuracy: AccuracyEvidence) -> str:
    """Return in words how the candidate is worse than stable."""
    ours, theirs = accuracy.total.candidate, accuracy.total.stable
    odds = f"evidence {math.exp(min(accuracy.log, 100)):.3g} to 1 (unit: {accuracy.unit})"
    if accuracy.kind == "error":
        (median, large), (stable_median, stable_large) = (_shares(arm) for arm in (ours, theirs))
        return (
            f"its errors are larger than stable's: above the median of both in {median} against {stable_median}, "
            f"in their largest tenth in {large} against {stable_large}, {odds}"
        )
    right, stable_right = (_share(arm.counted - sum(arm.hits), arm.counted) for arm in (ours, theirs))
    return f"it is right less often than stable: {right} against {stable_right}, {odds}"


def not_within_margin(accuracy: AccuracyEvidence, canary: RunningCanary, confidence: float) -> str | None:
    """Return why the candidate isn't yet shown to be wrong at most the margin more often than stable; None if it is.

    For numbers, wrong means an error above the median of both. Only the newest release with labels counts: pooled over several
    shares, an hour that was bad for both would weigh on one. `confidence` is one-sided.
    """
    margin = canary.plan.rules.accuracy_margin
    if margin is None or "accuracy" in canary.plan.overrides.excluded:
        return None
    ours, theirs = accuracy.of_newest.candidate, accuracy.of_newest.stable
    hits = tuple(arm.hits[0] if arm.hits else 0 for arm in (theirs, ours))
    _, most = difference_interval((hits[0], hits[1]), (theirs.counted, ours.counted), 2 * confidence - 1)
    if most < margin:
        return None
    what = "its errors above the median" if accuracy.kind == "error" else "its wrong answers"
    return (
        f"not enough labels yet for a step: after {ours.counted} of the candidate's and {theirs.counted} of stable's, {what} may "
        f"be up to {most:.1%} above stable's, and the margin is {margin:.1%}"
    )


def labelled_figures(accuracy: AccuracyEvidence, canary: RunningCanary, kind: Kind) -> dict[str, dict[str, Any]]:
    """Return by version how many requests have labels, and how good the answers to them were."""
    arms = ((canary.stable, accuracy.total.stable), (canary.candidate, accuracy.total.candidate))
    return {version: _figures(arm, kind) for version, arm in arms}


def _figures(arm: ArmTally, kind: Kind) -> dict[str, Any]:
    found = [hit / arm.counted for hit in arm.hits] if arm.counted else []
    if kind == "error":
        names = ("share_above_median", "share_in_largest_tenth")
        return {"labelled": arm.counted, **dict(zip(names, found or (None, None), strict=True))}
    return {"labelled": arm.counted, "accuracy": 1 - found[0] if found else None}


def _shares(arm: ArmTally) -> list[str]:
    return [_share(hits, arm.counted) for hits in arm.hits]


def _share(number: int, total: int) -> str:
    return f"{number} of {total} ({100 * number / max(1, total):.1f} %)"
