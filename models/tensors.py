"""Between JSON and numpy: read a request's inputs by a signature, and write a model's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from ..schemas.errors import InvalidInput, MalformedRequest
from ..schemas.signatures import Signature, TensorSpec

Tensors: TypeAlias = dict[str, NDArray[Any]]

NUMPY_DTYPES: dict[str, Any] = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint16": np.uint16,
    "uint8": np.uint8,
    "bool": np.bool_,
    "string": np.object_,
    "datetime": np.dtype("M8[us]"),
    "object": np.object_,
}
_JSON_KINDS = {"f": "number", "i": "number", "u": "number", "b": "bool", "U": "string", "O": "other"}


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
    values. Raises InvalidInput naming the feature that does not fit.
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
        return {spec.name: _tensor(inputs, spec)}, len(inputs)
    rows = inputs if isinstance(inputs[0], list) else [inputs]
    width = len(signature.inputs)
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            found = f"{len(row)} values" if isinstance(row, list) else type(row).__name__
            raise InvalidInput(f"row {number}: {width} features are expected, found {found}", field="inputs")
    columns = zip(*rows, strict=True)
    return {
        spec.name: _tensor(list(column), spec) for spec, column in zip(signature.inputs, columns, strict=True)
    }, len(rows)


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
    return {spec.name: _tensor([row[spec.name] for row in rows], spec) for spec in signature.inputs}, len(rows)


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        depth += 1
        if not value:
            break
        value = value[0]
    return depth


def _tensor(rows: list[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return rows as one array of the spec's type, shape (len(rows), *row_shape)."""
    try:
        array = np.array(rows)
    except ValueError:
        raise InvalidInput(f"{spec.name}: the rows differ in shape", field=spec.name) from None
    except OverflowError:
        array = np.array(rows, dtype=object)
    _check_shape(array, spec)
    kind = _JSON_KINDS.get(array.dtype.kind, "other")
    wanted = "string" if spec.dtype == "string" else "bool" if spec.dtype == "bool" else "number"
    if kind != wanted or (wanted == "string" and not all(isinstance(value, str) for value in _leaves(rows))):
        raise _wrong_type(rows, spec, wanted)
    if wanted == "string":
        return array.astype(object)
    if spec.dtype in ("int64", "int32") and array.dtype.kind == "f" and not np.all(array == np.trunc(array)):
        raise InvalidInput(f"{spec.name}: whole numbers are expected ({spec.dtype})", field=spec.name)
    with np.errstate(over="ignore"):
        converted = array.astype(NUMPY_DTYPES[spec.dtype])
    if converted.dtype.kind == "f" and not np.isfinite(converted).all():
        raise InvalidInput(f"{spec.name}: a value is too large for {spec.dtype}", field=spec.name)
    if converted.dtype.kind == "i" and not np.array_equal(converted, array):
        raise InvalidInput(f"{spec.name}: a value is too large for {spec.dtype}", field=spec.name)
    return converted


def _check_shape(array: NDArray[Any], spec: TensorSpec) -> None:
    found = array.shape[1:]
    if len(found) == len(spec.row_shape) and all(
        want in (-1, have) for want, have in zip(spec.row_shape, found, strict=True)
    ):
        return
    if len(spec.row_shape) == 1 and len(found) == 1:
        detail = f"{spec.row_shape[0]} features are expected, found {found[0]}"
    else:
        detail = f"a row has shape {list(spec.row_shape)}, found {list(found)}"
    raise InvalidInput(f"{spec.name}: {detail}", field=spec.name)


def _leaves(value: Any) -> Any:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _wrong_type(rows: list[Any], spec: TensorSpec, wanted: str) -> InvalidInput:
    """Say which value is not what the spec wants."""
    fits: Callable[[Any], bool] = {
        "string": lambda value: isinstance(value, str),
        "bool": lambda value: isinstance(value, bool),
        "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    }[wanted]
    for row_number, row in enumerate(rows):
        for position, value in enumerate(_leaves(row)):
            if not fits(value):
                place = f"{spec.name}[{position}]" if spec.row_shape else spec.name
                shown = orjson.dumps(value).decode()[:60]
                return InvalidInput(f"row {row_number}: {place}: a {wanted} is expected, found {shown}", field=place)
    return InvalidInput(f"{spec.name}: a {wanted} that fits {spec.dtype} is expected", field=spec.name)


def stack(parts: Sequence[Tensors]) -> Tensors:
    """Join the rows of several requests. All have the same names, types and row shapes."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def shape_key(tensors: Tensors) -> tuple[tuple[int, ...], ...]:
    """Return what must be equal for requests to share a batch: with free dimensions, rows may differ in shape."""
    return tuple(array.shape[1:] for array in tensors.values())


def write_outputs(model: str, version: str, outputs: Mapping[str, NDArray[Any]], begin: int, end: int) -> bytes:
    """Return the JSON body of an answer: rows `begin` to `end` of each output."""
    rows: dict[str, Any] = {}
    for name, array in outputs.items():
        part = array[begin:end]
        rows[name] = part.tolist() if part.dtype.kind in "OUS" else np.ascontiguousarray(part)
    return orjson.dumps({"model": model, "version": version, "outputs": rows}, option=orjson.OPT_SERIALIZE_NUMPY)
