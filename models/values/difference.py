"""Compare two answers to one request: the shadow's with production's, or a replay's with the recorded one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .label_values import same_label

# Maximum difference between numbers that agree, relative to the first answer's above 1.
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Difference:
    """`distance` is the largest difference between numbers other than labels; `measured` is whether there were any."""

    agree: bool
    label_changed: bool
    distance: float
    measured: bool


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float = TOLERANCE) -> Difference:
    """Compare two answers' outputs: by their labels where both have one, else number by number."""
    distance, measured, close = 0.0, False, ours.keys() == theirs.keys()
    for name in ours.keys() & theirs.keys():
        a, b = np.asarray(ours[name]), np.asarray(theirs[name])
        if a.shape != b.shape or a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
            close = close and same_label(ours[name], theirs[name])
        elif name != "label" and a.size:
            measured = True
            a, b = a.astype(float), b.astype(float)
            # Infinities and NaNs are equal to their like, and infinitely far from all else.
            with np.errstate(invalid="ignore"):
                apart = np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf)
            distances = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, apart)
            distance = max(distance, float(distances.max()))
            allowed = tolerance * np.maximum(1.0, np.where(np.isfinite(a), np.abs(a), 1.0))
            close = close and bool((distances <= allowed).all())
    labelled = "label" in ours and "label" in theirs
    changed = labelled and not same_label(ours["label"], theirs["label"])
    return Difference(not changed if labelled else close, changed, distance, measured)
