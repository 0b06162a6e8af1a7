"""An ONNX graph in the making, on doubles, that knows which of its answers are sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .domain import SURE

# Numbers of a compiled form lie this near the model's, relative to the larger of 1 and the number.
TOLERANCE = 1e-9
UNIT = 2.0**-53  # the largest relative error of one operation on doubles
_OPSET = 17
_TREES_BY_CLASS, _TREES_IN_DOUBLE = 3, 5  # of ai.onnx.ml: the first has TreeEnsembleRegressor, the second TreeEnsemble


class NotCompiled(Exception):
    """There is no compiled form that is the same function; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Block:
    """Numbers of shape (rows, width) on their way through a pipeline.

    `error` names a tensor of the same shape: how far the model's own numbers can lie from these, because sums are rounded in
    another order. None: not at all, to the last bit. `sparse`: the model holds them as a sparse matrix.
    """

    values: str
    width: int
    error: str | None = None
    sparse: bool = False


class Graph:
    """Nodes and constants. A guard is a tensor (rows,) of truth values: false where the form is not the model."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._guards: list[str] = []
        self._trees_in_double = False

    def op(self, kind: str, *inputs: str, domain: str = "", unused: int = 0, **attributes: Any) -> str:
        """Add a node; return the name of its first output. `unused`: how many others it has."""
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
        """Add a constant of texts; return its name."""
        from onnx import TensorProto, helper

        name = f"c{len(self._constants)}"
        encoded = [value.encode() for value in values]
        self._constants.append(helper.make_tensor(name, TensorProto.STRING, [len(values)], encoded))
        return name

    def cast(self, name: str, dtype: Any) -> str:
        """Return the tensor with elements of another type."""
        from onnx import helper

        return self.op("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def columns(self, name: str, which: list[int]) -> str:
        """Return these columns of a matrix, in this order."""
        return self.op("Gather", name, self.constant(which, np.int64), axis=1)

    def flat(self, name: str) -> str:
        """Return a column (rows, 1) as (rows,)."""
        return self.op("Reshape", name, self.constant([-1], np.int64))

    def guard(self, rows: str) -> None:
        """Add a guard (rows,)."""
        self._guards.append(rows)

    def guard_all(self, elements: str) -> None:
        """Add a guard from truth values (rows, width): all of a row must be true."""
        low = self.op("ReduceMin", self.cast(elements, np.float32), axes=[1], keepdims=0)
        self.guard(self.cast(low, np.bool_))

    def guard_no_infinity(self, matrix: str) -> None:
        """Guard against infinities (in floats: also against what was too large for them); NaN passes."""
        found = self.op("ReduceMax", self.cast(self.op("IsInf", matrix), np.float32), axes=[1], keepdims=0)
        self.guard(self.op("Equal", found, self.constant(0, np.float32)))

    def guard_finite(self, matrix: str, dtype: Any = np.float64) -> None:
        """Guard against infinities and NaN: times nothing they are NaN."""
        zero = self.constant(0, dtype)
        total = self.op("ReduceSum", self.op("Mul", matrix, zero), self.constant([1], np.int64), keepdims=0)
        self.guard(self.op("Equal", total, zero))

    def guard_below(self, matrix: str, largest: float) -> None:
        """Guard that magnitudes are below a bound; NaN and infinities fail too."""
        self.guard_all(self.op("Less", self.op("Abs", matrix), self.constant(largest)))

    def _rename(self, names: dict[str, str]) -> None:
        """Give tensors other names: a node that did nothing but that would cost a microsecond each time."""
        for node in self._nodes:
            for side in (node.input, node.output):
                for at, name in enumerate(side):
                    side[at] = names.get(name, name)

    def finish(self, inputs: dict[str, tuple[Any, int]], outputs: dict[str, tuple[str, Any, int | None]]) -> bytes:
        """Return the model. `inputs`: name to numpy type and width; `outputs`: name to tensor, type, width (None: (rows,))."""
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
    """Return a fitted array. Raises NotCompiled unless it is of doubles: in what a model learned, it computes."""
    found = np.asarray(array)
    if found.dtype != np.float64:
        raise NotCompiled(f"it was fitted on {found.dtype}, and computes in that")
    if not np.isfinite(found).all():
        raise NotCompiled("what it learned is not all finite")
    return found
