"""What a model answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer: the version that gave it, and its outputs by name, one entry a row."""

    model: str
    version: str
    outputs: dict[str, list[Any]]

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Prediction:
        """Return the prediction that an answer's body describes."""
        return cls(document["model"], document["version"], document["outputs"])

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
