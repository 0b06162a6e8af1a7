"""The Open Inference Protocol (v2): its tensors, as JSON or as raw bytes behind a JSON header, to arrays and back.

https://github.com/kserve/open-inference-protocol, and its binary tensor extension: a body is then a JSON document of so
many bytes (`Inference-Header-Content-Length`), and after it the tensors' bytes, little-endian and row by row, in the order of
the document; a BYTES element has its length before it, in four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput, MalformedRequest
from ...schemas.payloads.signatures import DType, Signature, TensorSpec
from .columns import numpy_dtype, read_column
from .outputs import plain_array
from .tensors import Tensors

DATATYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
_NAMES = {np.dtype(kind): name for name, kind in DATATYPES.items()}
# A moment is text in ISO 8601, and so is what a column of any values is called: this protocol has no name for either.
DATATYPE_OF: dict[DType, str] = {
    "float64": "FP64", "float32": "FP32", "float16": "FP16",
    "int64": "INT64", "int32": "INT32", "int16": "INT16", "int8": "INT8",
    "uint64": "UINT64", "uint32": "UINT32", "uint16": "UINT16", "uint8": "UINT8",
    "bool": "BOOL", "string": "BYTES", "datetime": "BYTES", "object": "BYTES",
}  # fmt: skip
_DTYPE_OF: dict[str, DType] = {
    name: "string" if name == "BYTES" else dtype for dtype, name in DATATYPE_OF.items() if dtype != "object"
}
# As many as an array may have; and of rows without values, which take no bytes, not more than those that do.
MOST_DIMENSIONS = 64
MOST_EMPTY_ROWS = 65_536
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants back: its id, the outputs (none: all) and which of them in binary."""

    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: frozenset[str] = frozenset()
    all_binary: bool = False


def read_request(
    body: bytes, header_bytes: int | None, signature: Signature, request_id: str = ""
) -> tuple[Tensors, int, Wanted]:
    """Return the tensors, the number of rows, and what is wanted back. `header_bytes` is None where all of it is JSON.
    `request_id` is the answer's id where the body has none.

    Raises MalformedRequest for what is not the protocol, InvalidInput where the tensors do not fit the signature.
    """
    header, raw = (body, b"") if header_bytes is None else (body[:header_bytes], body[header_bytes:])
    if header_bytes is not None and header_bytes > len(body):
        raise MalformedRequest(
            f"Inference-Header-Content-Length is {header_bytes}, the body has {len(body)} bytes",
            field="Inference-Header-Content-Length",
        )
    try:
        document = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not valid JSON: {error} (NaN and Infinity are not JSON)") from None
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise MalformedRequest('the body needs "inputs": a list of tensors', field="inputs")
    specs = {spec.name: spec for spec in signature.inputs}
    tensors: Tensors = {}
    at = 0
    for number, tensor in enumerate(inputs):
        name, shape, datatype = _described(tensor, number)
        if len(specs) == len(inputs) == 1:  # which one is meant is clear, whatever it is called
            (name,) = specs
        spec = specs.get(name)
        if spec is None or name in tensors:
            why = "is given twice" if name in tensors else f"is unknown: the model takes {', '.join(specs)}"
            raise InvalidInput(f"inputs[{number}]: the tensor {name[:80]!r} {why}", field=name[:80])
        size = _parameters(tensor).get("binary_data_size")
        if size is None:
            array = _from_json(tensor.get("data"), name, shape, datatype)
        else:
            array, at = _from_raw(raw, at, size, name, shape, datatype)
        tensors[name] = _fitted(array, spec, datatype)
    if at != len(raw):
        raise MalformedRequest(f"{len(raw) - at} bytes after the last tensor belong to none", field="inputs")
    missing = [name for name in specs if name not in tensors]
    if missing:
        raise InvalidInput(f"the tensor {missing[0]!r} is missing", field=missing[0])
    rows = {len(array) for array in tensors.values()}
    if len(rows) != 1:
        raise InvalidInput(f"the tensors have different numbers of rows: {sorted(rows)}", field="inputs")
    if not (count := rows.pop()):
        raise InvalidInput("the tensors have no rows", field="inputs")
    # In the signature's order: requests that share a batch are stacked by it.
    return {name: tensors[name] for name in specs}, count, _wanted(document, signature, request_id)


def write_response(
    model: str, version: str, outputs: Mapping[str, NDArray[Any]], begin: int, end: int, wanted: Wanted
) -> tuple[bytes, int | None]:
    """Return the body with rows `begin` to `end`, and the length of its JSON where bytes follow it.

    Raises InvalidInput for a wanted output that there is not.
    """
    described, raw = [], []
    for name in wanted.outputs or outputs:
        if name not in outputs:
            raise InvalidInput(
                f"there is no output {name[:80]!r}: the model gives {', '.join(outputs)}", field=name[:80]
            )
        part = plain_array(outputs[name][begin:end])
        datatype = _NAMES.get(part.dtype, "FP64")
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(part.shape)}
        if wanted.all_binary or name in wanted.binary:
            data = _to_raw(part, datatype)
            tensor["parameters"] = {"binary_data_size": len(data)}
            raw.append(data)
        else:
            tensor["data"] = _texts(part) if datatype == "BYTES" else np.ascontiguousarray(part).ravel()
            if datatype == "FP16":
                tensor["data"] = tensor["data"].tolist()
        described.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if wanted.id:
        document["id"] = wanted.id
    header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (header + b"".join(raw), len(header)) if raw else (header, None)


def _texts(array: NDArray[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in array.ravel().tolist()]


def tensor_document(spec: TensorSpec) -> dict[str, Any]:
    """Return a tensor as the model metadata shows it."""
    return {"name": spec.name, "datatype": DATATYPE_OF[spec.dtype], "shape": list(spec.shape)}


def _described(tensor: Any, number: int) -> tuple[str, tuple[int, ...], str]:
    if not isinstance(tensor, dict):
        raise MalformedRequest(f"inputs[{number}] is no tensor: an object with name, shape, datatype", field="inputs")
    name, shape, datatype = tensor.get("name"), tensor.get("shape"), tensor.get("datatype")
    if not isinstance(name, str) or not name:
        raise MalformedRequest(f"inputs[{number}] has no name", field="inputs")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise MalformedRequest(f"inputs[{number}]: the shape of {name[:80]!r} must be a list of sizes", field=name[:80])
    if len(shape) > MOST_DIMENSIONS or (0 in shape and max(shape) > MOST_EMPTY_ROWS):
        raise InvalidInput(
            f"inputs[{number}]: {name[:80]!r} has {len(shape)} dimensions, the largest of {max(shape)}: at most "
            f"{MOST_DIMENSIONS} are taken, and where one is 0, none above {MOST_EMPTY_ROWS}",
            field=name[:80],
        )
    if datatype not in DATATYPES:
        raise MalformedRequest(
            f"inputs[{number}]: the datatype of {name[:80]!r} must be one of {', '.join(DATATYPES)}", field=name[:80]
        )
    return name, tuple(shape), datatype


def _parameters(holder: Any) -> dict[str, Any]:
    found = holder.get("parameters") if isinstance(holder, dict) else None
    return found if isinstance(found, dict) else {}


def _from_json(data: Any, name: str, shape: tuple[int, ...], datatype: str) -> NDArray[Any]:
    """Return the data as an array of the datatype; with null among them, as objects that the signature has a say in."""
    if not isinstance(data, list):
        raise MalformedRequest(f"the tensor {name[:80]!r} has neither data nor binary_data_size", field=name[:80])
    flat = data
    while flat and isinstance(flat[0], list):
        if set(map(type, flat)) != {list}:
            raise InvalidInput(f"the data of {name[:80]!r} differ in depth", field=name[:80])
        flat = list(chain.from_iterable(flat))
    spec = TensorSpec(name=name, dtype=_DTYPE_OF[datatype], missing=True)
    try:
        array = read_column(flat, spec) if flat else np.empty(0, DATATYPES[datatype])
    except InvalidInput as error:
        why = "too large for" if "too large" in error.detail else "not all"
        raise InvalidInput(f"the data of {name[:80]!r} are {why} {datatype}: {error.detail}", field=name[:80]) from None
    if array.dtype.kind == "f" and datatype.startswith("FP") and None in flat:
        array = array.astype(object)
        array[np.array([value is None for value in flat])] = None
    return _shaped(array, name, shape)


def _from_raw(
    raw: bytes, at: int, size: Any, name: str, shape: tuple[int, ...], datatype: str
) -> tuple[NDArray[Any], int]:
    if type(size) is not int or size < 0 or at + size > len(raw):
        raise MalformedRequest(
            f"binary_data_size of {name[:80]!r} is {str(size)[:40]}, but {len(raw) - at} bytes are left",
            field=name[:80],
        )
    part, end = raw[at : at + size], at + size
    if datatype == "BYTES":
        return _shaped(_texts_from_raw(part, name), name, shape), end
    kind = np.dtype(DATATYPES[datatype]).newbyteorder("<")
    if size != prod(shape) * kind.itemsize:
        raise InvalidInput(
            f"{name[:80]!r} of shape {list(shape)} and datatype {datatype} takes {prod(shape) * kind.itemsize} bytes, "
            f"binary_data_size is {size}",
            field=name[:80],
        )
    return np.frombuffer(part, kind).reshape(shape), end


def _texts_from_raw(part: bytes, name: str) -> NDArray[Any]:
    texts, at = [], 0
    while at < len(part):
        if at + _LENGTH.size > len(part):
            raise MalformedRequest(f"the bytes of {name[:80]!r} end within a length", field=name[:80])
        (length,) = _LENGTH.unpack_from(part, at)
        at += _LENGTH.size
        if at + length > len(part):
            raise MalformedRequest(f"the bytes of {name[:80]!r} end within an element", field=name[:80])
        try:
            texts.append(part[at : at + length].decode())
        except UnicodeDecodeError:
            raise InvalidInput(f"an element of {name[:80]!r} is not text in UTF-8", field=name[:80]) from None
        at += length
    return np.array(texts, dtype=object)


def _to_raw(array: NDArray[Any], datatype: str) -> bytes:
    if datatype == "BYTES":
        elements = [b"" if value is None else str(value).encode() for value in array.ravel()]
        return b"".join(_LENGTH.pack(len(element)) + element for element in elements)
    wide = np.ascontiguousarray(array, dtype=np.dtype(DATATYPES[datatype]).newbyteorder("<"))
    return wide.tobytes()


def _shaped(flat: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if flat.size != prod(shape):
        raise InvalidInput(
            f"{name[:80]!r} of shape {list(shape)} takes {prod(shape)} values, found {flat.size}", field=name[:80]
        )
    return flat.reshape(shape)


def _fitted(array: NDArray[Any], spec: TensorSpec, datatype: str) -> NDArray[Any]:
    """Return the array as the model takes it: of its type where nothing is lost by that; a column may come as (rows, 1)."""
    if not spec.row_shape and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    found = array.shape[1:]
    if len(found) != len(spec.row_shape) or any(
        want not in (-1, have) for want, have in zip(spec.row_shape, found, strict=True)
    ):
        raise InvalidInput(
            f"{spec.name}: the model takes shape {list(spec.shape)}, found {list(array.shape)}", field=spec.name
        )
    wanted = numpy_dtype(spec)
    if wanted.kind not in "fiub" or array.dtype.kind not in "fiub":
        return _fitted_values(array, spec, datatype)
    if array.dtype == wanted:
        return array
    safe = np.can_cast(array.dtype, wanted, "safe")
    if wanted.kind in "iu" and array.dtype.kind != "b" and not safe:
        return _fitted_values(array, spec, datatype)  # whole numbers within its limits are
    if not safe and not array.dtype.kind == wanted.kind == "f":  # among these, one may become narrower
        raise InvalidInput(f"{spec.name}: the model takes {DATATYPE_OF[spec.dtype]}, found {datatype}", field=spec.name)
    with np.errstate(over="ignore"):
        fitted = array.astype(wanted)
    if array.dtype.kind == "f" and not np.array_equal(np.isfinite(fitted), np.isfinite(array)):
        raise InvalidInput(f"{spec.name}: a value is too large for {DATATYPE_OF[spec.dtype]}", field=spec.name)
    return fitted


def _fitted_values(array: NDArray[Any], spec: TensorSpec, datatype: str) -> NDArray[Any]:
    """Read the values one by one, as those of JSON are: what has gaps, moments, text, whole numbers in another type."""
    if (datatype == "BYTES") != (spec.dtype in ("string", "datetime")) and spec.dtype != "object":
        raise InvalidInput(f"{spec.name}: the model takes {DATATYPE_OF[spec.dtype]}, found {datatype}", field=spec.name)
    return read_column(array.tolist(), spec)


def _wanted(document: dict[str, Any], signature: Signature, request_id: str) -> Wanted:
    given = document.get("outputs") or []
    if not isinstance(given, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in given
    ):
        raise MalformedRequest('"outputs" must be a list of objects with a name', field="outputs")
    known = [spec.name for spec in signature.outputs]
    for output in given:
        if known and output["name"] not in known:
            raise InvalidInput(
                f"there is no output {output['name'][:80]!r}: the model gives {', '.join(known)}",
                field=output["name"][:80],
            )
    identity = document.get("id")
    if identity is not None and type(identity) not in (str, int):
        raise MalformedRequest('"id" must be text', field="id")
    return Wanted(
        id=request_id if identity in (None, "") else str(identity),
        outputs=tuple(output["name"] for output in given),
        binary=frozenset(output["name"] for output in given if _parameters(output).get("binary_data") is True),
        all_binary=_parameters(document).get("binary_data_output") is True,
    )
