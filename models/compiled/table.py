"""The inputs of a compiled form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...schemas.payloads.signatures import Signature, TensorSpec
from ..values.tables import FRAME
from .graph import Block, Graph, NotCompiled

_WIDE = ("int64", "uint64")
_NUMBERS = {"float64", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"}
_TEXT_COLUMNS = ("", "str", "string", "object")
_NUMBER_COLUMNS = ("", FRAME)
_EXACT_INTEGERS = 2.0**53  # below it a double can hold every integer


class Table:
    """The columns as tensors of the graph, in the order in which the model was fitted.

    Without text they are one matrix of doubles; with text each column is a separate input, (rows, 1).
    """

    def __init__(self, graph: Graph, signature: Signature, names: list[str] | None) -> None:
        """Raises NotCompiled for unsupported inputs. `names` are the columns on which the model was fitted."""
        specs = signature.inputs
        self.floats_only = all(spec.dtype == "float32" for spec in specs)
        for spec in specs:
            _check(spec, self.floats_only)
        self.inputs: dict[str, tuple[Any, int]] = {}
        self._matrix: str | None = None
        self._columns: list[tuple[str, bool]] = []  # each column's tensor, and whether it is text
        if len(specs) == 1 and specs[0].dtype != "string":
            (spec,) = specs
            width = spec.row_size if spec.row_shape else 1
            if width is None or len(spec.row_shape) > 1:
                raise NotCompiled("its rows are not vectors of a fixed size")
            if names is not None and len(names) != width:
                raise NotCompiled("the columns of the signature are not those of the model")
            self._matrix, self.width = spec.name, width
            self.inputs[spec.name] = (np.float64, width)
            wide = list(range(width)) if spec.dtype in _WIDE else []
        else:
            order = [spec.name for spec in specs] if names is None else names
            if sorted(order) != sorted(spec.name for spec in specs):
                raise NotCompiled("the columns of the signature are not those of the model")
            self.width = len(specs)
            wide = self._take_columns(graph, signature, order)
        if wide:
            graph.guard_below(graph.columns(self.block().values, wide), _EXACT_INTEGERS)

    def _take_columns(self, graph: Graph, signature: Signature, order: list[str]) -> list[int]:
        by_name = {spec.name: spec for spec in signature.inputs}
        if any(spec.dtype == "string" for spec in signature.inputs):
            for spec in signature.inputs:
                if spec.dtype in _WIDE:
                    raise NotCompiled("64-bit integers are combined with text")
                self.inputs[spec.name] = (object if spec.dtype == "string" else np.float64, 1)
            self._columns = [(name, by_name[name].dtype == "string") for name in order]
            return []
        self.inputs["inputs"] = (np.float64, self.width)
        places = {spec.name: at for at, spec in enumerate(signature.inputs)}
        wanted = [places[name] for name in order]
        self._matrix = "inputs" if wanted == sorted(wanted) else graph.columns("inputs", wanted)
        return [at for at, name in enumerate(order) if by_name[name].dtype in _WIDE]

    def block(self) -> Block:
        """Return all columns as numbers. Raises NotCompiled if some are text."""
        if self._matrix is None:
            raise NotCompiled("text goes to a step that is not on the list of what is compiled")
        return Block(self._matrix, self.width)

    def texts_only(self, indices: list[int]) -> bool:
        """Whether these columns are all text. Raises NotCompiled if only some are."""
        kinds = {bool(self._columns) and self._columns[at][1] for at in indices}
        if len(kinds) > 1:
            raise NotCompiled("text and numbers go to one step")
        return kinds.pop()

    def texts(self, indices: list[int]) -> list[str]:
        """Return these text columns' tensors."""
        return [self._columns[at][0] for at in indices]

    def numbers(self, graph: Graph, indices: list[int]) -> Block:
        """Return these columns as numbers."""
        if self._matrix is not None:
            same = indices == list(range(self.width))
            return Block(self._matrix if same else graph.columns(self._matrix, indices), len(indices))
        parts = [self._columns[at][0] for at in indices]
        return Block(graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0], len(indices))


def _check(spec: TensorSpec, floats_only: bool) -> None:
    if spec.categories or spec.pandas not in (_TEXT_COLUMNS if spec.dtype == "string" else _NUMBER_COLUMNS):
        raise NotCompiled(f"the column {spec.name} is of pandas' type {spec.pandas}")
    if spec.dtype == "string":
        if spec.missing or spec.row_shape:
            raise NotCompiled(f"the text {spec.name} may be missing, or has more than one value a row")
    elif spec.dtype not in _NUMBERS and not floats_only:
        raise NotCompiled(f"the column {spec.name} is {spec.dtype}, in which scikit-learn may compute")
