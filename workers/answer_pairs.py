"""Compares two answers to one row, stable's and the candidate's, and counts in what they differ."""

from __future__ import annotations

import math

import numpy as np

from ..models.proof.profile import OTHER_LABELS
from ..models.values.difference import difference
from ..models.values.label_values import label_key
from ..models.values.tensors import Tensors
from ..schemas.payloads.observations import Gaps, PairCounts, key_unit

# Of one summary.
MAX_CONFUSIONS = 30
MAX_OUTPUTS = 10
LABEL_LENGTH = 40


def add_pair(counts: PairCounts, stable: Tensors, candidate: Tensors, tolerance: float, routing_key: str = "") -> bool:
    """Count a pair of answers of one row each; return whether they differ.

    Labels agree if they are equal in value and type; without labels, numbers agree within the tolerance.
    """
    differs = not difference(stable, candidate, tolerance).agree
    counts.compared += 1
    counts.differed += differs
    if routing_key:
        counts.keyed += 1
        counts.keyed_differed += differs
        counts.units.setdefault(key_unit(routing_key), differs)
    if differs:
        _count_confusion(counts.confusions, _confusion(stable, candidate))
    for name in sorted(stable.keys() & candidate.keys() - {"label"})[:MAX_OUTPUTS]:
        found = difference({name: stable[name]}, {name: candidate[name]})
        if found.measured and math.isfinite(found.distance):
            gaps = counts.gaps.setdefault(name, Gaps())
            gaps.pairs += 1
            gaps.total += found.distance
            gaps.largest = max(gaps.largest, found.distance)
    return differs


def _confusion(stable: Tensors, candidate: Tensors) -> str:
    """Return the labels that differ as text; empty for answers without labels."""
    if "label" in stable and "label" in candidate:
        ours, theirs = (_text(outputs["label"]) for outputs in (stable, candidate))
        if ours == theirs:  # the same text, as of 1 and "1"
            ours, theirs = (f"{text} ({_kind(outputs)})" for text, outputs in ((ours, stable), (theirs, candidate)))
        return f"{ours} -> {theirs}"
    if stable.keys() != candidate.keys():
        return f"outputs {', '.join(sorted(stable))[:LABEL_LENGTH]} -> {', '.join(sorted(candidate))[:LABEL_LENGTH]}"
    return ""


def _text(label: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    value = label.tolist()
    text = label_key(value[0] if len(value) == 1 else value)
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 3]}..."


def _kind(outputs: Tensors) -> str:
    value = outputs["label"].ravel()[:1].tolist()
    return type(value[0]).__name__ if value else "empty"


def _count_confusion(confusions: dict[str, int], name: str) -> None:
    if name:
        key = name if name in confusions or len(confusions) < MAX_CONFUSIONS else OTHER_LABELS
        confusions[key] = confusions.get(key, 0) + 1
