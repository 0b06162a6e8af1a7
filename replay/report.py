"""How a version's answers differ from the recorded ones. No I/O; independent of the order of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from ..models.proof.drift_figures import figures, scores_of
from ..models.proof.profile import count_rows
from ..models.values.difference import difference
from ..models.values.label_values import label_key, same_label
from ..models.values.outputs import json_rows
from ..models.values.tensors import Tensors
from ..models.values.truth import Tally, compare_with_truth
from ..schemas.payloads.profiles import Profile
from ..stats.intervals import wilson
from ..stats.log_histogram import Bins, add_value, percentiles

MAX_CHANGES = 20


@dataclass
class ReplayReport:
    """Counts over requests. `profile` is the version's reference profile, for input drift."""

    profile: Profile | None = None
    requests: int = 0
    unreadable: int = 0
    failed: int = 0
    without_reply: int = 0
    recorded_errors: int = 0
    compared: int = 0
    agreed: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    distances: Bins = field(default_factory=dict)
    largest_distance: float = 0.0
    truth_of_recorded: Tally = field(default_factory=Tally)
    truth_of_replayed: Tally = field(default_factory=Tally)
    recorded_ms: Bins = field(default_factory=dict)
    counts: list[list[int]] = field(default_factory=list)
    rows: int = 0

    def add_inputs(self, tensors: Tensors) -> None:
        """Count input rows."""
        self.rows += len(next(iter(tensors.values())))
        if self.profile is not None:
            found = count_rows(self.profile, tensors)
            self.counts = [
                [a + b for a, b in zip(ours, theirs, strict=True)]
                for ours, theirs in zip(self.counts or [[0] * len(one) for one in found], found, strict=True)
            ]

    def add_answer(
        self, outputs: dict[str, Any], recorded: dict[str, Any] | None, truth: Sequence[Any] | None = None
    ) -> bool | None:
        """Compare an answer with the recorded one; return whether they agree, or None without a recorded one.

        Both are outputs by name, each a list with one value a row. They agree if all labels are equal, or, without labels, if
        all numbers are within 1 % of each other.
        """
        self.requests += 1
        agrees = None
        if recorded is None:
            self.without_reply += 1
        else:
            self.compared += 1
            found = difference(recorded, outputs)
            agrees = found.agree
            self.agreed += agrees
            if found.measured:
                # In thousandths: the histogram's bins are fine above 0.001.
                add_value(self.distances, 1000 * found.distance)
                self.largest_distance = max(self.largest_distance, found.distance)
            if found.label_changed:
                for ours, theirs in zip(outputs["label"], recorded["label"], strict=False):
                    if not same_label(ours, theirs):
                        self.changes[label_key(theirs), label_key(ours)] += 1
        if truth is not None:
            self.truth_of_replayed.add(compare_with_truth(outputs, truth))
            if recorded is not None:
                self.truth_of_recorded.add(compare_with_truth(recorded, truth))
        return agrees

    def document(self) -> dict[str, Any]:
        """Return the report as a document; it is the same for the same time range and version."""
        low, high = wilson(self.agreed, self.compared)
        scores = percentiles(self.distances)
        document: dict[str, Any] = {
            "requests": self.requests,
            "rows": self.rows,
            "unreadable": self.unreadable,
            "failed": self.failed,
            "without_reply": self.without_reply,
            "recorded_errors": self.recorded_errors,
            "agreement": {
                "compared": self.compared,
                "agreed": self.agreed,
                "share": self.agreed / self.compared if self.compared else None,
                "interval": [low, high],
            },
            "label_changes": [
                {"from": old, "to": new, "count": count}
                for (old, new), count in sorted(self.changes.items(), key=lambda item: (-item[1], item[0]))[
                    :MAX_CHANGES
                ]
            ],
            "score_distance": {
                "largest": self.largest_distance,
                **{name: value / 1000 if value is not None else None for name, value in scores.items()},
            },
            "recorded_ms": percentiles(self.recorded_ms),
        }
        if self.truth_of_replayed.rows:
            document["truth"] = {
                "recorded": self.truth_of_recorded.figures(),
                "replayed": self.truth_of_replayed.figures(),
            }
        if self.profile is not None and self.counts:
            counts = np.concatenate([np.asarray(feature, float) for feature in self.counts])
            drifts = figures(self.profile, scores_of(self.profile), counts)
            document["drift"] = [
                {name: drift[name] for name in ("feature", "psi", "ks", "p", "what")}
                for drift in sorted(drifts, key=lambda drift: -float(drift["psi"]))
            ]
        return document


def plain(outputs: Tensors, begin: int, end: int) -> dict[str, Any]:
    """Return rows of the outputs in the form in which JSON returns them, so that both sides compare in the same form."""
    rows = {name: json_rows(array[begin:end]) for name, array in outputs.items()}
    document: dict[str, Any] = orjson.loads(orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY))
    return document
