"""What a model answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer: the version that gave it, and its outputs by name, one entry a row.

    >>> answer = Prediction("fraud", "1.0.0", {"label": [1], "probabilities": [[0.2, 0.8]]}, "order-17")
    >>> answer.label, answer.probabilities
    (1, [0.2, 0.8])
    """

    model: str
    version: str
    outputs: dict[str, list[Any]]
    request_id: str = ""  # what a label is sent for; a row of a batch has none

    @classmethod
    def from_document(cls, document: dict[str, Any], request_id: str = "") -> Prediction:
        """Return the prediction that an answer's body describes."""
        return cls(document["model"], document["version"], document["outputs"], request_id)

    @property
    def label(self) -> Any:
        """The label of the first row. Raises KeyError for a model that gives none."""
        return self.outputs["label"][0]

    @property
    def probabilities(self) -> list[float]:
        """The first row's probabilities, in the order of the classes. Raises KeyError for a model that gives none."""
        probabilities: list[float] = self.outputs["probabilities"][0]
        return probabilities

    @property
    def value(self) -> Any:
        """The first row's value. Raises KeyError for a model that gives none."""
        return self.outputs["value"][0]
