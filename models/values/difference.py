"""Compare two answers to one request: the shadow's with production's, or a replay's with the recorded one."""

from __future__ import annotations

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


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> Difference:
    """Compare two answers' outputs: by their labels where both have one, else number by number."""
    distance, measured, close = 0.0, False, ours.keys() == theirs.keys()
    for name in ours.keys() & theirs.keys():
        a, b = np.asarray(ours[name]), np.asarray(theirs[name])
        if a.shape != b.shape or a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
            close = close and same_label(ours[name], theirs[name])
        elif name != "label" and a.size:
            measured = True
            distances = np.abs(a.astype(float) - b.astype(float))
            distance = max(distance, float(distances.max()))
            close = close and bool((distances <= TOLERANCE * np.maximum(1.0, np.abs(a.astype(float)))).all())
    labelled = "label" in ours and "label" in theirs
    changed = labelled and not same_label(ours["label"], theirs["label"])
    return Difference(not changed if labelled else close, changed, distance, measured)
