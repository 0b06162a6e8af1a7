"""Compare answers with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...stats.intervals import wilson
from .label_values import same_label


@dataclass(frozen=True, slots=True)
class BatchAccuracy:
    """Over `rows` rows: the number of correct labels (None: not a classifier), or the sum of a regressor's absolute errors."""

    rows: int
    right: int | None
    error: float | None


@dataclass(slots=True)
class Tally:
    """The sum of several comparisons."""

    rows: int = 0
    right: int = 0
    labelled: int = 0
    error: float = 0.0
    measured: int = 0

    def add(self, verdict: BatchAccuracy | None) -> None:
        """Add one comparison. None, for an answer that does not fit its labels, is ignored."""
        if verdict is None:
            return
        self.rows += verdict.rows
        if verdict.right is not None:
            self.right += verdict.right
            self.labelled += verdict.rows
        if verdict.error is not None:
            self.error += verdict.error
            self.measured += verdict.rows

    def figures(self) -> dict[str, Any]:
        """Return the number of rows, and the accuracy with its 95 % interval or the mean absolute error."""
        figures: dict[str, Any] = {"rows": self.rows}
        if self.labelled:
            figures |= {"accuracy": self.right / self.labelled, "interval": list(wilson(self.right, self.labelled))}
        if self.measured:
            figures["mean_absolute_error"] = self.error / self.measured
        return figures


def compare_with_truth(outputs: dict[str, Any], truth: Sequence[Any]) -> BatchAccuracy | None:
    """Compare an answer's outputs, one entry a row, with the true values; None if they do not fit together.

    Labels are compared leniently (`same_label`), since tables of labels often lose types. Without an output named `label`,
    the true values must be numbers, and are compared with the first output that has one number a row.
    """
    labels = outputs.get("label")
    if labels is not None:
        if len(labels) != len(truth):
            return None
        right = sum(same_label(ours, theirs, lenient=True) for ours, theirs in zip(labels, truth, strict=True))
        return BatchAccuracy(len(truth), right, None)
    for values in outputs.values():
        if len(values) == len(truth) and all(map(_is_number, values)):
            try:
                errors = [abs(float(ours) - float(theirs)) for ours, theirs in zip(values, truth, strict=True)]
            except (ValueError, OverflowError):
                return None
            return BatchAccuracy(len(truth), None, sum(errors))
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
