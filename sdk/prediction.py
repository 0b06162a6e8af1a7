"""What a model answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


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

    def to_numpy(self, name: str | None = None) -> NDArray[Any]:
        """Return an output as an array with a row for each row that was asked; without a name the only one.

        NaN and infinities, which JSON has not, are NaN. Raises KeyError for an output that there is not, and where several are
        there to choose from.
        """
        if name is None:
            if len(self.outputs) != 1:
                raise KeyError(f"name one of {', '.join(self.outputs)}")
            (name,) = self.outputs
        array = np.asarray(self.outputs[name])
        if array.dtype == object and {float, type(None)} == set(map(type, array.ravel().tolist())):
            return array.astype(np.float64)
        return array

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row for each row that was asked; an output of several numbers a row has a column for each."""
        import pandas as pd  # half a second that whoever wants no table need not wait for

        columns: dict[str, Any] = {}
        for name, values in self.outputs.items():
            if values and isinstance(values[0], list):
                columns |= {f"{name}_{place}": column for place, column in enumerate(zip(*values, strict=True))}
            else:
                columns[name] = values
        return pd.DataFrame(columns)

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
