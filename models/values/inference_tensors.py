"""Convert the data of Open Inference Protocol tensors, JSON lists or raw bytes, to arrays and back."""

from __future__ import annotations

import struct
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput, MalformedRequest
from ...schemas.payloads.signatures import DType, TensorSpec
from .columns import numpy_dtype, read_column

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
DATATYPE_OF_ARRAY = {np.dtype(kind): name for name, kind in DATATYPES.items()}
# Timestamps (text in ISO 8601) and columns of any values are BYTES, since the protocol has no datatype for them.
DATATYPE_OF: dict[DType, str] = {
    "float64": "FP64", "float32": "FP32", "float16": "FP16",
    "int64": "INT64", "int32": "INT32", "int16": "INT16", "int8": "INT8",
    "uint64": "UINT64", "uint32": "UINT32", "uint16": "UINT16", "uint8": "UINT8",
    "bool": "BOOL", "string": "BYTES", "datetime": "BYTES", "object": "BYTES",
}  # fmt: skip
_DTYPE_OF: dict[str, DType] = {
    name: "string" if name == "BYTES" else dtype for dtype, name in DATATYPE_OF.items() if dtype != "object"
}
_LENGTH = struct.Struct("<I")


def array_from_json(data: Any, name: str, shape: tuple[int, ...], datatype: str) -> NDArray[Any]:
    """Return the data as an array of the datatype; with nulls, as objects, which `fitted` converts by the signature."""
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


def array_from_raw(
    raw: bytes, at: int, size: Any, name: str, shape: tuple[int, ...], datatype: str
) -> tuple[NDArray[Any], int]:
    """Return the tensor in the `size` bytes at offset `at` of `raw`, and the offset of their end."""
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


def _shaped(flat: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if flat.size != prod(shape):
        raise InvalidInput(
            f"{name[:80]!r} of shape {list(shape)} takes {prod(shape)} values, found {flat.size}", field=name[:80]
        )
    return flat.reshape(shape)


def raw_from_array(array: NDArray[Any], datatype: str) -> bytes:
    """Return an array's bytes, little-endian, row by row."""
    if datatype == "BYTES":
        elements = [b"" if value is None else str(value).encode() for value in array.ravel()]
        return b"".join(_LENGTH.pack(len(element)) + element for element in elements)
    wide = np.ascontiguousarray(array, dtype=np.dtype(DATATYPES[datatype]).newbyteorder("<"))
    return wide.tobytes()


def texts_of(array: NDArray[Any]) -> list[str | None]:
    """Return the values of an array as strings, None for a missing one."""
    return [None if value is None else str(value) for value in array.ravel().tolist()]


def fitted(array: NDArray[Any], spec: TensorSpec, datatype: str) -> NDArray[Any]:
    """Return the array in the type of the spec. Raises InvalidInput if that loses information. A column may be (rows, 1)."""
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
        return _fitted_values(array, spec, datatype)  # integers within the limits are accepted
    if not safe and not array.dtype.kind == wanted.kind == "f":  # a float may be narrowed
        raise InvalidInput(f"{spec.name}: the model takes {DATATYPE_OF[spec.dtype]}, found {datatype}", field=spec.name)
    with np.errstate(over="ignore"):
        narrowed = array.astype(wanted)
    if array.dtype.kind == "f" and not np.array_equal(np.isfinite(narrowed), np.isfinite(array)):
        raise InvalidInput(f"{spec.name}: a value is too large for {DATATYPE_OF[spec.dtype]}", field=spec.name)
    return narrowed


def _fitted_values(array: NDArray[Any], spec: TensorSpec, datatype: str) -> NDArray[Any]:
    """Convert the values one by one, like JSON values: missing values, timestamps, strings, integers of another type."""
    if (datatype == "BYTES") != (spec.dtype in ("string", "datetime")) and spec.dtype != "object":
        raise InvalidInput(f"{spec.name}: the model takes {DATATYPE_OF[spec.dtype]}, found {datatype}", field=spec.name)
    return read_column(array.tolist(), spec)
