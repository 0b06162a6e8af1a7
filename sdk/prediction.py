"""The prediction that a client returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction: the version that made it, and its outputs by name, one entry a row.

    >>> answer = Prediction("fraud", "1.0.0", {"label": [1], "probabilities": [[0.2, 0.8]]}, "order-17")
    >>> answer.label, answer.probabilities
    (1, [0.2, 0.8])
    """

    model: str
    version: str
    outputs: dict[str, list[Any]]
    request_id: str = ""  # for labels; empty for a row of a batch

    @classmethod
    def from_document(cls, document: dict[str, Any], request_id: str = "") -> Prediction:
        """Return the prediction in a response body."""
        return cls(document["model"], document["version"], document["outputs"], request_id)

    def to_numpy(self, name: str | None = None) -> NDArray[Any]:
        """Return an output as an array with one entry an input row; `name` may be omitted if there is only one output.

        NaN and infinities are NaN, since JSON has neither. Raises KeyError for an unknown name, and for none if there are
        several outputs.
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
        """Return a table with one row an input row; an output with several numbers a row gets a column for each."""
        import pandas as pd  # takes half a second, so only when needed

        columns: dict[str, Any] = {}
        for name, values in self.outputs.items():
            if values and isinstance(values[0], list):
                columns |= {f"{name}_{place}": column for place, column in enumerate(zip(*values, strict=True))}
            else:
                columns[name] = values
        return pd.DataFrame(columns)

    @property
    def label(self) -> Any:
        """The first row's label. Raises KeyError if the model has no such output."""
        return self.outputs["label"][0]

    @property
    def probabilities(self) -> list[float]:
        """The first row's probabilities, in the order of the classes. Raises KeyError if the model has no such output."""
        probabilities: list[float] = self.outputs["probabilities"][0]
        return probabilities

    @property
    def value(self) -> Any:
        """The first row's value. Raises KeyError if the model has no such output."""
        return self.outputs["value"][0]
