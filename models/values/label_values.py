"""When two labels are the same: everywhere that labels are compared or counted, this says so."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np


def same_label(one: Any, other: Any, *, lenient: bool = False) -> bool:
    """Compare two labels by value and kind: 1 and 1.0 are the same, 1 and "1" or true are not. Lists are compared item by item.

    `lenient` is for truths that come out of tables, which rarely say what kind a value is: there "1" and true are also 1.
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
    """Return the text that labels are counted under: the same for those that are the same."""
    if type(label) in (str, int, bool):
        return str(label)
    label = plain_label(label)
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def plain_label(label: Any) -> Any:
    """Return a label as an answer in JSON has it: numpy's values as Python's, bytes as text, NaN as None."""
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
    """Return what a label is when it is read as a table's cell: a number where it can be one, else its text."""
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
