"""Build an ONNX graph on doubles, with guards that mark the rows of which it is sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .domain import SURE

# Maximum difference between numbers of a compiled form and the model's, relative to the larger of 1 and the number.
TOLERANCE = 1e-9
UNIT = 2.0**-53  # the largest relative error of one operation on doubles
_OPSET = 17
_TREES_BY_CLASS, _TREES_IN_DOUBLE = 3, 5  # ai.onnx.ml opsets of TreeEnsembleRegressor and of TreeEnsemble


class NotCompiled(Exception):
    """No compiled form is the same function; the message is the reason, in one line."""


@dataclass(frozen=True, slots=True)
class Block:
    """A tensor of shape (rows, width) between two steps of a pipeline.

    `error` names a tensor of the same shape: the maximum difference from the model's own numbers, because sums are rounded in
    another order. None: they are equal to the last bit. `sparse`: the model holds them as a sparse matrix.
    """

    values: str
    width: int
    error: str | None = None
    sparse: bool = False


class Graph:
    """Nodes, constants and guards. A guard is a boolean tensor (rows,): false where the form may differ from the model."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._guards: list[str] = []
        self._trees_in_double = False

    def op(self, kind: str, *inputs: str, domain: str = "", unused: int = 0, **attributes: Any) -> str:
        """Add a node; return the name of its first output. `unused` is the number of its other outputs."""
        from onnx import helper

        name = f"t{len(self._nodes)}"
        self._trees_in_double = self._trees_in_double or kind == "TreeEnsemble"
        self._nodes.append(
            helper.make_node(
                kind, list(inputs), [name, *(f"{name}_{at}" for at in range(unused))], domain=domain, **attributes
            )
        )
        return name

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(value, dtype)), name))
        return name

    def texts(self, values: list[str]) -> str:
        """Add a constant of strings; return its name."""
        from onnx import TensorProto, helper

        name = f"c{len(self._constants)}"
        encoded = [value.encode() for value in values]
        self._constants.append(helper.make_tensor(name, TensorProto.STRING, [len(values)], encoded))
        return name

    def cast(self, name: str, dtype: Any) -> str:
        """Return the tensor with elements of another type."""
        from onnx import helper

        return self.op("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def columns(self, name: str, indices: list[int]) -> str:
        """Return these columns of a matrix, in this order."""
        return self.op("Gather", name, self.constant(indices, np.int64), axis=1)

    def flat(self, name: str) -> str:
        """Return a column (rows, 1) as (rows,)."""
        return self.op("Reshape", name, self.constant([-1], np.int64))

    def guard(self, rows: str) -> None:
        """Add a guard (rows,)."""
        self._guards.append(rows)

    def guard_all(self, elements: str) -> None:
        """Add a guard from booleans (rows, width): all of a row must be true."""
        low = self.op("ReduceMin", self.cast(elements, np.float32), axes=[1], keepdims=0)
        self.guard(self.cast(low, np.bool_))

    def guard_no_infinity(self, matrix: str) -> None:
        """Guard against infinities (in float32 also against values too large for it); NaN passes."""
        found = self.op("ReduceMax", self.cast(self.op("IsInf", matrix), np.float32), axes=[1], keepdims=0)
        self.guard(self.op("Equal", found, self.constant(0, np.float32)))

    def guard_finite(self, matrix: str, dtype: Any = np.float64) -> None:
        """Guard against infinities and NaN: times zero they are NaN."""
        zero = self.constant(0, dtype)
        total = self.op("ReduceSum", self.op("Mul", matrix, zero), self.constant([1], np.int64), keepdims=0)
        self.guard(self.op("Equal", total, zero))

    def guard_below(self, matrix: str, largest: float) -> None:
        """Guard that magnitudes are below a bound; NaN and infinities fail too."""
        self.guard_all(self.op("Less", self.op("Abs", matrix), self.constant(largest)))

    def _rename(self, names: dict[str, str]) -> None:
        """Rename tensors. An Identity node instead would cost a microsecond in each run."""
        for node in self._nodes:
            for side in (node.input, node.output):
                for at, name in enumerate(side):
                    side[at] = names.get(name, name)

    def finish(self, inputs: dict[str, tuple[Any, int]], outputs: dict[str, tuple[str, Any, int | None]]) -> bytes:
        """Return the model. `inputs`: name to numpy type and width; `outputs`: name to tensor, type and width (None: (rows,))."""
        from onnx import helper

        if self._guards:
            sure = self._guards[0]
            for other in self._guards[1:]:
                sure = self.op("And", sure, other)
            outputs = {**outputs, SURE: (sure, np.bool_, None)}
        self._rename({tensor: name for name, (tensor, _, _) in outputs.items()})

        def info(name: str, dtype: Any, shape: list[int | None]) -> Any:
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

        graph = helper.make_graph(
            self._nodes,
            "model",
            [info(name, dtype, [None, width]) for name, (dtype, width) in inputs.items()],
            [
                info(name, dtype, [None] if width is None else [None, width])
                for name, (_, dtype, width) in outputs.items()
            ],
            self._constants,
        )
        trees = _TREES_IN_DOUBLE if self._trees_in_double else _TREES_BY_CLASS
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", trees)]
        data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
        return data


def double(array: Any) -> NDArray[np.float64]:
    """Return a fitted array. Raises NotCompiled unless it holds doubles: the model computes in the type of its parameters."""
    found = np.asarray(array)
    if found.dtype != np.float64:
        raise NotCompiled(f"it was fitted on {found.dtype}, and computes in that")
    if not np.isfinite(found).all():
        raise NotCompiled("its parameters are not all finite")
    return found
