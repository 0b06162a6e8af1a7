"""Rows that a compiled form leaves to the original model.

A form may have an output `SURE`, one boolean for each row, computed in the same run as the answers. The check is part of the
graph, costs microseconds, and cannot be skipped: rows outside the form's domain raise an exception, never return a wrong number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..values.tensors import Tensors

SURE = "modelmesh.sure"


class OutsideDomain(Exception):
    """The compiled form cannot answer some of the rows: run the original model."""

    def __init__(self, inside: NDArray[np.bool_], outputs: Tensors) -> None:
        """`inside` has shape (rows,): rows of `outputs` are the model's answers where it is true."""
        super().__init__("the compiled form of this version cannot answer these inputs")
        self.inside = inside
        self.outputs = outputs


def only_sure(outputs: Tensors) -> Tensors:
    """Return the outputs without `SURE`. Raises OutsideDomain unless `SURE` is true for every row."""
    inside = outputs.pop(SURE, None)
    if inside is not None and not inside.all():
        raise OutsideDomain(inside, outputs)
    return outputs
