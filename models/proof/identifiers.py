"""Columns that name their row: ids, keys, clocks. Each live value is new, so drift of them means nothing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Fewer rows say nothing about a column.
FEWEST_ROWS = 50
ALL_DIFFERENT = 0.99
GROWING = 0.95
# Whole numbers that are all different are ids if they lie so closely: at random, 100 of them in a range of 1,000 are not.
RANGE_PER_ROW, DENSE_ROWS = 10, 100
# From 2001 to 2100 in seconds; a clock in ms, us or ns has 3, 6 or 9 digits more.
CLOCK = (1e9, 4.1e9)
KEY = re.compile(r"[A-Za-z0-9_.:{}#-]{1,64}")


def why_left_out(values: NDArray[Any]) -> str:
    """Return in words why a column of reference rows cannot be watched for drift; empty if it can."""
    if values.dtype.kind in "OUS":
        return _why_key([str(value) for value in values if value is not None and value == value])
    known = values.astype(np.float64)
    known = known[np.isfinite(known)]
    if len(known) < FEWEST_ROWS or len(np.unique(known)) < ALL_DIFFERENT * len(known):
        return ""
    if np.mean(np.diff(known) > 0) >= GROWING:
        return "all values are different and grow from row to row: an id or a clock"
    whole, least, largest = bool(np.all(known == np.rint(known))), known.min(), known.max()
    if whole and len(known) >= DENSE_ROWS and largest - least <= RANGE_PER_ROW * len(known):
        return "whole numbers without gaps, each of them once: an id"
    if any(CLOCK[0] * scale <= least and largest <= CLOCK[1] * scale for scale in (1.0, 1e3, 1e6, 1e9)):
        return "all values are different and are times since 1970: a clock"
    return ""


def _why_key(known: list[str]) -> str:
    if len(known) < FEWEST_ROWS or len(set(known)) < ALL_DIFFERENT * len(known):
        return ""
    keys = sum(KEY.fullmatch(value) is not None and any(map(str.isdigit, value)) for value in known)
    return "all values are different, in one word with digits: a key" if keys >= ALL_DIFFERENT * len(known) else ""
