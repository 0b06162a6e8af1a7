"""Write a model's outputs as JSON: convert values of numpy, pandas and Python."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

_KINDS: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64}


def write_outputs(model: str, version: str, outputs: Mapping[str, NDArray[Any]], begin: int, end: int) -> bytes:
    """Return the JSON body of an answer: rows `begin` to `end` of each output. NaN and infinities are null."""
    rows = {name: json_rows(array[begin:end]) for name, array in outputs.items()}
    return orjson.dumps(
        {"model": model, "version": version, "outputs": rows}, option=orjson.OPT_SERIALIZE_NUMPY, default=plain_value
    )


def json_rows(array: NDArray[Any]) -> Any:
    """Return an array in a form that orjson can write."""
    if array.dtype.kind in "fiub" and array.dtype.itemsize <= 8:
        return np.ascontiguousarray(array)
    return plain_array(array).tolist()


def plain_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of numbers or booleans as it is; anything else as objects of types that JSON has.

    Objects that are all of one kind of number, or all booleans, become an array of that type.
    """
    if array.dtype.kind in "fiub":
        return array.astype(np.float64) if array.dtype.itemsize > 8 else array
    if array.dtype.kind == "M":
        texts = np.datetime_as_string(array).astype(object)
        texts[np.isnat(array)] = None
        return np.asarray(texts, dtype=object)
    values = [plain_value(value) for value in array.ravel().tolist()]
    types = set(map(type, values))
    if len(types) == 1 and (kind := _KINDS.get(types.pop())) is not None:
        try:
            return np.array(values, kind).reshape(array.shape)
        except OverflowError:
            pass
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects.reshape(array.shape)


def plain_value(value: Any) -> Any:
    """Return one value in a type that JSON has; values of other types become text."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, np.generic | np.ndarray):
        inner = value.tolist()
        return (
            inner if isinstance(inner, list) else plain_value(inner) if type(inner) is not type(value) else float(inner)
        )
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_value(each) for each in value]
    if isinstance(value, dict):
        return {str(name): plain_value(each) for name, each in value.items()}
    return str(value)
