"""Read a request's JSON inputs into arrays by a signature, and batch the arrays of several requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput, MalformedRequest
from ...schemas.payloads.signatures import Signature
from .columns import NUMPY_DTYPES, read_column

__all__ = [
    "NUMPY_DTYPES",
    "Tensors",
    "count_rows",
    "parse_body",
    "read_column",
    "read_inputs",
    "row_bytes",
    "shape_key",
    "stack",
]

Tensors: TypeAlias = dict[str, NDArray[Any]]


def parse_body(body: bytes) -> Any:
    """Return the `inputs` of a JSON request body. Raises MalformedRequest for broken JSON (NaN is not JSON)."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not valid JSON: {error} (NaN and Infinity are not JSON)") from None
    if not isinstance(document, dict) or "inputs" not in document:
        raise MalformedRequest('the body must be a JSON object with "inputs": {"inputs": ...}', field="inputs")
    return document["inputs"]


def read_inputs(inputs: Any, signature: Signature) -> tuple[Tensors, int]:
    """Return named arrays of shape (rows, ...) and the number of rows.

    `inputs` is one row or a list of rows; a row is a list of values in the signature's order or an object of named
    values. Raises InvalidInput, which names the feature that does not fit.
    """
    if isinstance(inputs, dict):
        return _read_objects([inputs], signature)
    if not isinstance(inputs, list):
        raise InvalidInput("inputs must be a list, a list of rows, or an object of named features", field="inputs")
    if not inputs:
        raise InvalidInput("inputs has no rows", field="inputs")
    if isinstance(inputs[0], dict):
        return _read_objects(inputs, signature)
    if len(signature.inputs) == 1:
        spec = signature.inputs[0]
        depth = _depth(inputs)
        if depth == len(spec.row_shape):
            inputs = [inputs]
        elif depth != len(spec.row_shape) + 1:
            raise InvalidInput(
                f"{spec.name}: a row has {len(spec.row_shape)} dimensions, the inputs have {depth}", field=spec.name
            )
        return {spec.name: read_column(inputs, spec)}, len(inputs)
    rows = inputs if isinstance(inputs[0], list) else [inputs]
    width = len(signature.inputs)
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            found = f"{len(row)} values" if isinstance(row, list) else type(row).__name__
            raise InvalidInput(f"row {number}: {width} features are expected, found {found}", field="inputs")
    columns = zip(*rows, strict=True)
    return {
        spec.name: read_column(list(column), spec) for spec, column in zip(signature.inputs, columns, strict=True)
    }, len(rows)


def count_rows(inputs: Any, signature: Signature | None) -> int:
    """Return the number of rows that `read_inputs` would find, without reading them; 1 if it would refuse them."""
    if not isinstance(inputs, list) or not inputs:
        return 1
    if isinstance(inputs[0], dict):
        return len(inputs)
    row_depth = len(signature.inputs[0].row_shape) if signature is not None and len(signature.inputs) == 1 else 1
    return len(inputs) if _depth(inputs) > row_depth else 1


def _read_objects(rows: Sequence[Any], signature: Signature) -> tuple[Tensors, int]:
    names = [spec.name for spec in signature.inputs]
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InvalidInput(f"row {number} is not an object of named features as row 0 is", field="inputs")
        if row.keys() != set(names):
            missing = [name for name in names if name not in row]
            unknown = [name for name in row if name not in names]
            parts = [f"missing: {', '.join(missing)}"] * bool(missing)
            parts += [f"unknown: {', '.join(map(str, unknown))}"] * bool(unknown)
            raise InvalidInput(
                f"row {number}: the features do not fit ({'; '.join(parts)})", field=str((missing + unknown)[0])
            )
    return {spec.name: read_column([row[spec.name] for row in rows], spec) for spec in signature.inputs}, len(rows)


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        depth += 1
        if not value:
            break
        value = value[0]
    return depth


def stack(parts: Sequence[Tensors]) -> Tensors:
    """Concatenate the rows of several requests, which must have the same names, types and row shapes."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def shape_key(tensors: Tensors) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return a key that must be equal for requests to share a batch: the type and row shape of each tensor.

    With free dimensions, row shapes may differ. Integers with missing values are read as floats, and in one batch would change
    the type of another request's integers.
    """
    return tuple((array.dtype.char, array.shape[1:]) for array in tensors.values())


def row_bytes(tensors: Tensors, rows: int) -> int:
    """Return the maximum bytes of a row, with strings as numpy pads them: four bytes for each character."""
    total = 0
    for array in tensors.values():
        if array.dtype.char == "O":
            widest = max((len(value) if isinstance(value, str) else 2 for value in array.ravel()), default=0)
            total += 4 * widest * (array.size // rows)
        else:
            total += array.nbytes // rows
    return total
