"""Symbolic shape inference for ONNX graphs: each size is a constant or a multiple of the number of rows in the batch.

Declared shapes of intermediate tensors and outputs are ignored, since the file is untrusted. Only operators whose output sizes
follow from input sizes and constants are supported; onnx's own shape inference handles most of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_ml_shapes import ml_output_shapes
from .onnx_size import MAX_ELEMENTS, MAX_RANK, ONE, NotProved, Size, product, sizes_of, tensor_type

_MAX_CONSTANT_VALUES = 1024  # in a constant that may be used as sizes
_SUMS_CONSTANTS = ("Pad", "Range")  # their shape inference in onnx may overflow


class ShapeInference:
    """The types of a graph's tensors, its small constants, and the values of integer tensors that hold sizes."""

    def __init__(self, opsets: dict[str, int], ir_version: int) -> None:
        self._opsets = opsets
        self._ir_version = ir_version
        self.types: dict[str, Any] = {}
        self._constants: dict[str, Any] = {}
        self._tracked: dict[str, NDArray[Any]] = {}  # arrays of Size

    def add_constant(self, name: str, tensor: Any) -> None:
        """Add a constant, a TensorProto."""
        self._note(name, tensor_type(tensor.data_type, [Size(size) for size in tensor.dims]))
        if math.prod(tensor.dims) <= _MAX_CONSTANT_VALUES:
            self._constants[name] = tensor

    def add_input(self, name: str, kind: Any) -> None:
        """Add an input, whose first dimension counts rows. Raises NotProved for one with another free dimension."""
        shape = kind.tensor_type.shape.dim
        if kind.WhichOneof("value") != "tensor_type" or not shape:
            raise NotProved(f"the input {name[:80]!r} is not a tensor of rows")
        if any(not size.HasField("dim_value") or size.dim_value <= 0 for size in shape[1:]):
            raise NotProved(f"the input {name[:80]!r} has a free dimension besides the rows")
        fixed = shape[0].dim_value if shape[0].HasField("dim_value") and shape[0].dim_value > 0 else None
        first = Size(1, True) if fixed is None else Size(fixed)
        within = [Size(size.dim_value) for size in shape[1:]]
        self._note(name, tensor_type(kind.tensor_type.elem_type, [first, *within]))

    def add_node(self, node: Any) -> None:
        """Infer the types of a node's outputs. Raises NotProved."""
        if any(name not in self.types for name in node.input if name):
            raise NotProved("the graph is not sorted topologically")
        overridden = {
            "Reshape": self._reshape,
            "Expand": self._expand,
            "Tile": self._tile,
            "ConstantOfShape": self._filled,
        }
        if node.domain == "ai.onnx.ml" and (found := self._infer_ml(node)):
            pass
        elif node.domain in ("", "ai.onnx") and node.op_type in overridden:
            found = overridden[node.op_type](node)
        else:
            found = self._infer_by_onnx(node)
        for name in filter(None, node.output):
            if name not in found:
                raise NotProved("the size of its output is not known")
            self._note(name, found[name])
        self._track_sizes(node)

    def _note(self, name: str, kind: Any) -> None:
        if name in self.types:
            raise NotProved("two tensors have the same name")
        product(sizes_of(kind))
        self.types[name] = kind

    def _infer_by_onnx(self, node: Any) -> dict[str, Any]:
        """Return the output types that onnx infers for a node, by name. Raises NotProved."""
        import onnx
        from onnx import defs, helper, shape_inference

        domain = "" if node.domain == "ai.onnx" else node.domain
        opsets = [helper.make_opsetid(name, version) for name, version in self._opsets.items()]
        given = {name: self.types[name] for name in node.input if name}
        data = {name: tensor for name in given if (tensor := self._as_constant(name)) is not None}
        if node.op_type in _SUMS_CONSTANTS:
            for name in data:
                if any(abs(size.times) >= MAX_ELEMENTS for size in self._size_values(name).ravel()):
                    raise NotProved("a size is too large")
        try:
            schema = defs.get_schema(node.op_type, self._opsets[domain], domain)
            found: dict[str, Any] = shape_inference.infer_node_outputs(
                schema, node, given, data, opset_imports=opsets, ir_version=self._ir_version
            )
        except (onnx.defs.SchemaError, shape_inference.InferenceError, KeyError, ValueError, RuntimeError) as error:
            raise NotProved(f"onnx refuses it: {' '.join(str(error).split())}"[:200]) from None
        return found

    def _infer_ml(self, node: Any) -> dict[str, Any]:
        if not node.input or not node.input[0]:
            return {}
        kind = self.types[node.input[0]]
        if node.op_type == "ArrayFeatureExtractor" and len(node.input) == 2:
            places = product(sizes_of(self.types[node.input[1]]))
            return self._like_first_input(node, [*(sizes_of(kind)[:-1] or [ONE]), places])
        given = ml_output_shapes(node, kind.tensor_type.elem_type, sizes_of(kind)) or []
        found = {}
        for name, (element, sizes) in zip(node.output, given, strict=False):
            found[name] = tensor_type(element, [Size(size) if isinstance(size, int) else size for size in sizes])
        return found

    def _as_constant(self, name: str) -> Any | None:
        from onnx import numpy_helper

        if name in self._constants:
            return self._constants[name]
        found = self._tracked.get(name)
        if found is None or any(size.by_row for size in found.ravel()):
            return None
        numbers = np.array([size.times for size in found.ravel()], np.int64).reshape(found.shape)
        return numpy_helper.from_array(numbers, name)

    def _size_values(self, name: str) -> NDArray[Any]:
        """Return an integer tensor's values as an array of `Size`; values of a constant may be negative. Raises NotProved."""
        from onnx import numpy_helper

        found = self._tracked.get(name)
        if found is None and name in self._constants:
            try:
                numbers = numpy_helper.to_array(self._constants[name])
            except Exception as error:  # the file is untrusted
                raise NotProved(f"a constant cannot be read: {error}"[:200]) from None
            if numbers.dtype == np.int64:
                found = np.empty(numbers.shape, object)
                found[...] = np.array([Size(int(each)) for each in numbers.ravel()], object).reshape(numbers.shape)
        if found is None:
            raise NotProved("the size of its output depends on values")
        return found

    def _like_first_input(self, node: Any, sizes: Sequence[Size]) -> dict[str, Any]:
        if any(size.times < 0 for size in sizes):
            raise NotProved("a size is negative")
        return {node.output[0]: tensor_type(self.types[node.input[0]].tensor_type.elem_type, sizes)}

    def _reshape(self, node: Any) -> dict[str, Any]:
        before = sizes_of(self.types[node.input[0]])
        if len(node.input) != 2:
            raise NotProved("its opset is too old")
        wanted = self._size_values(node.input[1]).ravel().tolist()
        literal = any(each.name == "allowzero" and each.i for each in node.attribute)
        if (literal and Size(0) in wanted) or len(wanted) > MAX_RANK:
            raise NotProved("a Reshape to a size of 0, or to too many dimensions")
        after: list[Size] = []
        for place, size in enumerate(wanted):
            if size == Size(0) and place >= len(before):
                raise NotProved("a Reshape copies a dimension that does not exist")
            after.append(before[place] if size == Size(0) else size)
        free = [place for place, size in enumerate(after) if size == Size(-1)]
        if len(free) == 1:
            others = product([size for place, size in enumerate(after) if place != free[0]])
            after[free[0]] = product(before).over(others)
        return self._like_first_input(node, after)

    def _expand(self, node: Any) -> dict[str, Any]:
        given, wanted = list(sizes_of(self.types[node.input[0]])), self._size_values(node.input[1]).ravel().tolist()
        length = max(len(given), len(wanted))
        pairs = zip([ONE] * (length - len(given)) + given, [ONE] * (length - len(wanted)) + wanted, strict=True)
        after = []
        for one, other in pairs:
            if one != other and ONE not in (one, other):
                raise NotProved("an Expand to a size that may not fit")
            after.append(other if one == ONE else one)
        return self._like_first_input(node, after)

    def _tile(self, node: Any) -> dict[str, Any]:
        given, times = sizes_of(self.types[node.input[0]]), self._size_values(node.input[1]).ravel().tolist()
        if len(given) != len(times):
            raise NotProved("a Tile with another number of dimensions than its input")
        return self._like_first_input(node, [one * other for one, other in zip(given, times, strict=True)])

    def _filled(self, node: Any) -> dict[str, Any]:
        from onnx import TensorProto

        element = next((each.t.data_type for each in node.attribute if each.name == "value"), TensorProto.FLOAT)
        sizes = self._size_values(node.input[0]).ravel().tolist()
        if any(size.times < 0 for size in sizes):
            raise NotProved("a size is negative")
        return {node.output[0]: tensor_type(element, sizes)}

    def _track_sizes(self, node: Any) -> None:
        """Record the values of a node's output if they are sizes."""
        from onnx import helper

        if node.domain not in ("", "ai.onnx"):
            return
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute if each.name != "value"}
        if node.op_type == "Constant":
            tensor = next((each.t for each in node.attribute if each.name == "value"), None)
            if "value_int" in attributes or "value_ints" in attributes:
                numbers = np.array(attributes.get("value_ints", attributes.get("value_int")), np.int64)
                tensor = helper.make_tensor("", 7, numbers.shape, numbers.ravel().tolist())
            if tensor is not None and math.prod(tensor.dims) <= _MAX_CONSTANT_VALUES:
                self._constants[node.output[0]] = tensor
            return
        try:
            found = self._sizes_held(node, attributes)
        except (NotProved, IndexError, ValueError, TypeError):
            return  # the values are unknown: `_size_values` raises if they are needed
        if found is not None and found.size <= _MAX_CONSTANT_VALUES:
            self._tracked[node.output[0]] = found

    def _sizes_held(self, node: Any, attributes: dict[str, Any]) -> NDArray[Any] | None:
        kind, first = node.op_type, node.input[0] if node.input else ""
        if kind == "Shape":
            sizes = np.empty(len(sizes_of(self.types[first])), object)
            sizes[:] = sizes_of(self.types[first])
            return sizes[attributes.get("start") : attributes.get("end")]
        if kind not in ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Gather", "Slice", "Concat", "Mul"):
            return None
        if self.types[node.output[0]].tensor_type.elem_type != 7:  # int64: no other type can hold every size
            return None
        if kind == "Concat":
            return np.concatenate([self._size_values(name) for name in node.input])
        held = self._size_values(first)
        if kind == "Gather":
            places = np.array([size.times for size in self._size_values(node.input[1]).ravel()], int)
            return np.asarray(
                held[places].reshape([size.times for size in sizes_of(self.types[node.output[0]])]), object
            )
        if kind == "Mul":
            return np.asarray(held * self._size_values(node.input[1]), object)
        if kind == "Slice":
            # Only slices of a vector with a step of 1 are supported.
            begin, end, *rest = [int(self._size_values(name).ravel()[0].times) for name in node.input[1:]]
            return held[begin:end] if held.ndim == 1 and rest[1:] in ([], [1]) else None
        return np.asarray(held.reshape([size.times for size in sizes_of(self.types[node.output[0]])]), object)
