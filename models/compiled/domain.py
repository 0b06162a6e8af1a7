"""Rows that a compiled form leaves to the model itself.

A form may have an output `SURE`, one truth value a row, that is worked out in the same run as the answers. So the limits of a
form are one place (its graph), cost microseconds, and cannot be forgotten: whoever asks a form beyond them gets an exception,
never a wrong number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..values.tensors import Tensors

SURE = "modelmesh.sure"


class OutsideDomain(Exception):
    """The compiled form cannot answer for some of the rows: ask the model itself."""

    def __init__(self, inside: NDArray[np.bool_], outputs: Tensors) -> None:
        """`inside` has shape (rows,): where it is true, `outputs` (each with all rows) holds the model's answer."""
        super().__init__("the compiled form of this version cannot answer these inputs")
        self.inside = inside
        self.outputs = outputs


def only_sure(outputs: Tensors) -> Tensors:
    """Return the outputs without `SURE`. Raises OutsideDomain unless it is true for every row."""
    inside = outputs.pop(SURE, None)
    if inside is not None and not inside.all():
        raise OutsideDomain(inside, outputs)
    return outputs
