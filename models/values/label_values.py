"""Compare labels. All code that compares or counts labels uses these functions."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np


def same_label(one: Any, other: Any, *, lenient: bool = False) -> bool:
    """Whether two labels are equal in value and kind: 1 equals 1.0, but not "1" or true. Lists are compared item by item.

    `lenient` is for labels from tables, whose values may have lost their type: then "1" and true also equal 1.
    """
    one, other = plain_label(one), plain_label(other)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return (
            isinstance(other, Sequence)
            and not isinstance(other, str)
            and len(one) == len(other)
            and all(same_label(a, b, lenient=lenient) for a, b in zip(one, other, strict=True))
        )
    if isinstance(one, bool) != isinstance(other, bool):
        return lenient and _loosely(one) == _loosely(other)
    if type(one) is not type(other) and (isinstance(one, str) or isinstance(other, str)):
        return lenient and _loosely(one) == _loosely(other)
    return bool(one == other)


def label_key(label: Any) -> str:
    """Return the key for counting a label; equal labels have the same key."""
    if type(label) in (str, int, bool):
        return str(label)
    label = plain_label(label)
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def plain_label(label: Any) -> Any:
    """Return a label as in a JSON answer: numpy values as Python values, bytes as text, NaN as None."""
    if isinstance(label, np.ndarray | np.generic):
        label = label.tolist()
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    if isinstance(label, float) and label != label:
        return None
    if isinstance(label, datetime.date):
        return label.isoformat()
    return label


def _loosely(label: Any) -> Any:
    """Return a label as a number if it can be parsed as one, as in a table's cell, else its text."""
    if isinstance(label, bool):
        return int(label)
    if not isinstance(label, str):
        return label
    text = label.strip()
    if text.lower() in ("true", "false"):
        return int(text.lower() == "true")
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
