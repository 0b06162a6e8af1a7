"""A window's distance from the reference, feature by feature: figures for people, and the p-values that decide."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ...schemas.payloads.profiles import FeatureProfile, Profile
from ...stats.drift import distance_of
from ...stats.drift_scores import WHOLE_FEATURE, Floats, Scores
from ...stats.drift_tests import feature_p, p_values


def scores_of(profile: Profile) -> Scores:
    """Return the scores of a reference."""
    return Scores([feature.counts for feature in profile.features], [feature.ordered for feature in profile.features])


def figures(
    profile: Profile, scores: Scores, window: Floats, effects: Floats | None = None, degrees: Floats | None = None
) -> list[dict[str, Any]]:
    """Compare a window, counts of shape (bins,), with the reference.

    `effects` and `degrees`: each score's design effect and its degrees of freedom; without them, rows are independent. A
    feature's `p` is corrected for its scores and for the number of features, and `what` is the score with the smallest.
    """
    if effects is None or degrees is None:
        effects, degrees = np.ones(len(scores.feature_of)), np.full(len(scores.feature_of), np.inf)
    ps, best = feature_p(scores, p_values(scores, window, effects, degrees))
    ends = np.cumsum([feature.bins for feature in profile.features])
    found = []
    for number, (feature, score) in enumerate(zip(profile.features, best, strict=True)):
        counts = window[ends[number] - feature.bins : ends[number]]
        distance = distance_of(feature.name, feature.counts, counts, ordered=feature.ordered)
        place = int(score) - int(ends[number] - feature.bins) if score < scores.bins else None
        what = _bin(feature, place) if place is not None else WHOLE_FEATURE[(int(score) - scores.bins) // len(best)]
        found.append(
            asdict(distance) | {"p": float(ps[number]), "what": what, "design_effect": round(float(effects[score]), 2)}
        )
    return found


def _bin(feature: FeatureProfile, place: int) -> str:
    """Return a bin in words."""
    if place == feature.bins - 1:
        return "missing values"
    if feature.kind == "category":
        return f"share of {feature.categories[place]!r}" if place < len(feature.categories) else "unseen values"
    if place in (0, feature.ordered - 1) and not feature.counts[place]:
        return "values below the reference's" if place == 0 else "values above the reference's"
    if place == 0:
        return f"values up to {feature.edges[0]:g}"
    if place == feature.ordered - 1:
        return f"values above {feature.edges[-1]:g}"
    return f"values from {feature.edges[place - 1]:g} to {feature.edges[place]:g}"
