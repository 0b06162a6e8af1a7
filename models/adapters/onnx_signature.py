"""Derive a signature from an ONNX graph, and refuse graphs that cannot take a batch of rows."""

from __future__ import annotations

import re
from typing import Any

from ...schemas.errors import InvalidInput
from ...schemas.payloads.signatures import DType, Signature, TensorSpec

_DTYPES: dict[str, DType] = {
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}


def signature_of(inputs: list[Any], outputs: list[Any]) -> Signature:
    """Return the signature of a session's inputs. Raises InvalidInput if the inputs or outputs cannot be served."""
    signature = Signature(inputs=tuple(map(_spec, inputs)))
    _check_outputs(outputs)
    _check_rows(inputs, outputs)
    return signature


def dtype_of(tensor: Any) -> DType:
    """Return the type of an input's values in a request. Raises InvalidInput for a type that is not supported."""
    if tensor.type not in _DTYPES:
        raise InvalidInput(
            f"the ONNX input {tensor.name} has type {tensor.type}, which is not supported: use a tensor of numbers, strings or "
            "booleans",
            field=tensor.name,
        )
    return _DTYPES[tensor.type]


def _spec(tensor: Any) -> TensorSpec:
    dtype = dtype_of(tensor)
    if not tensor.shape:
        raise InvalidInput(
            f"the ONNX input {tensor.name} has no dimension for rows: give it a shape whose first dimension counts rows, or, "
            "where it is a setting, a default (an initializer of its name)",
            field=tensor.name,
        )
    per_row = tuple(size if isinstance(size, int) and size > 0 else -1 for size in tensor.shape[1:])
    return TensorSpec(name=tensor.name, dtype=dtype, shape=(-1, *per_row))


def _check_outputs(outputs: list[Any]) -> None:
    """Raise InvalidInput for outputs of types that numpy does not have: their bytes would be read as other numbers."""
    for output in outputs:
        for inner in re.findall(r"\b\w+\((?:\w+)\)", output.type):
            if inner not in _DTYPES:
                raise InvalidInput(
                    f"the ONNX output {output.name} has type {output.type}, which is not supported: cast it to float or int64",
                    field=output.name,
                )


def _check_rows(inputs: list[Any], outputs: list[Any]) -> None:
    """Raise InvalidInput if the dimension that counts rows is also a size within a row."""
    rows = {tensor.shape[0] for tensor in inputs if isinstance(tensor.shape[0], str)}
    for tensor in [*inputs, *outputs]:
        again = [size for size in tensor.shape[1:] if size in rows and isinstance(size, str)]
        if again:
            raise InvalidInput(
                f"{tensor.name} has shape {tensor.shape}: {again[0]!r} counts rows and cannot also be a size within a row",
                field=tensor.name,
            )


def fixed_rows(inputs: list[Any]) -> int | None:
    """Return the fixed number of rows of the graph; None if it takes any number."""
    fixed = {tensor.shape[0]: tensor.name for tensor in inputs if tensor.shape and isinstance(tensor.shape[0], int)}
    if len(fixed) > 1:
        (one, first), (two, second), *_ = fixed.items()
        raise InvalidInput(
            f"the ONNX inputs {first} and {second} have {one} and {two} rows: the first dimension counts rows and must be one "
            "for all inputs",
            field=second,
        )
    return next(iter(fixed), None)


_Dimension = tuple[str, int]


def shared_sizes(inputs: list[Any]) -> list[tuple[_Dimension, _Dimension]]:
    """Return pairs of dimensions within rows that have the same name in the graph, so that their sizes must be equal."""
    first: dict[str, _Dimension] = {}
    pairs = []
    for tensor in inputs:
        for axis, size in enumerate(tensor.shape[1:], 1):
            if isinstance(size, str) and first.setdefault(size, (tensor.name, axis)) != (tensor.name, axis):
                pairs.append((first[size], (tensor.name, axis)))
    return pairs
