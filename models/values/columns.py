"""Convert JSON values to arrays of a spec's type. Errors name the column, row and value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput
from ...schemas.payloads.signatures import DType, TensorSpec

NUMPY_DTYPES: dict[DType, Any] = {
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
_NUMBERS: frozenset[type] = frozenset({int, float})
# JSON types that are put into an array without conversion.
_PLAIN: dict[DType, frozenset[type]] = {
    "float64": _NUMBERS,
    "float32": _NUMBERS,
    "float16": _NUMBERS,
    "bool": frozenset({bool}),
    "string": frozenset({str}),
    "datetime": frozenset(),
    "object": frozenset({int, float, bool, str}),
}
_WHOLE = frozenset({int})
_EXACT = 2**53
_ROUNDED = 2.0**63
# From so many values on, checking the type of each takes longer than creating an array of them.
MANY_VALUES = 256
_UNIT = re.compile(r"^datetime64\[(\w+)(?:, (.+))?\]$")
_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?)(?:(Z)|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)


def numpy_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """Return the type of the spec's arrays; timestamps have the unit of the training column."""
    if spec.dtype == "datetime" and (found := _UNIT.match(spec.pandas)):
        timestamps: np.dtype[Any] = np.dtype(f"M8[{found[1]}]")
        return timestamps
    plain: np.dtype[Any] = np.dtype(NUMPY_DTYPES[spec.dtype])
    return plain


def read_column(rows: list[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return rows as one array of the spec's type, shape (len(rows), *row_shape).

    A missing value is NaN among floats, NaT among timestamps and None elsewhere. Integers with missing values become float64 if
    that is exact, else objects. Raises InvalidInput, which names column, row and value.
    """
    array = _many_numbers(rows, spec) if len(rows) * (spec.row_size or MANY_VALUES) > MANY_VALUES else None
    if array is None:
        try:
            types = set(map(type, _leaves(rows, spec)))
        except TypeError:
            raise _wrong_shape(np.array(rows, dtype=object), spec) from None
        array = _array(rows, spec) if types <= _PLAIN.get(spec.dtype, _WHOLE) else _convert(rows, spec, types)
        if spec.dtype == "object" and float in types:
            _refuse_rounded(rows, spec)
    found = array.shape[1:]
    if found != spec.row_shape and not _fits(found, spec.row_shape):
        raise _wrong_shape(array, spec)
    if array.dtype.kind == "f" and not np.logical_and.reduce(np.isfinite(array), axis=None):
        _refuse_too_large(rows, array, spec)
    return array


def _refuse_rounded(rows: list[Any], spec: TensorSpec) -> None:
    """Raise InvalidInput for floats so large that they may be rounded integers: the JSON parser keeps only 64-bit ones."""
    fits: Callable[[Any], bool] = lambda value: type(value) is not float or not abs(value) >= _ROUNDED  # noqa: E731
    if not all(map(fits, _leaves(rows, spec))):
        raise _misfit(rows, spec, fits, "a number beyond 64 bits may have been rounded: send it as a string")


def _many_numbers(rows: list[Any], spec: TensorSpec) -> NDArray[Any] | None:
    """Return many numbers as an array without checking each type; None if the types must be checked."""
    if spec.dtype not in ("float64", "float32"):
        return None
    try:
        array = np.array(rows)
    except (ValueError, OverflowError):
        return None
    # numpy converts true among numbers to 1.
    if array.dtype.kind not in "fiu" or ((array == 0) | (array == 1)).any():
        return None
    with np.errstate(over="ignore"):
        return array.astype(NUMPY_DTYPES[spec.dtype], copy=False)


def _array(rows: list[Any], spec: TensorSpec) -> NDArray[Any]:
    try:
        if spec.dtype == "float64":
            return np.array(rows, np.float64)
        with np.errstate(over="ignore"):
            return np.array(rows, NUMPY_DTYPES[spec.dtype])
    except ValueError:
        raise InvalidInput(f"{spec.name}: the rows differ in shape", field=spec.name) from None
    except OverflowError:
        limits = np.iinfo(NUMPY_DTYPES[spec.dtype])
        raise _misfit(
            rows, spec, lambda value: limits.min <= value <= limits.max, f"too large for {spec.dtype}"
        ) from None


def _convert(rows: list[Any], spec: TensorSpec, types: set[type]) -> NDArray[Any]:
    """Read values that need conversion: missing values, 2.0 for 2, timestamps."""
    wanted, fits = _WANTED.get(spec.dtype, ("whole number", _is_whole))
    missing = not types.isdisjoint({type(None), float}) and any(map(_is_missing, _leaves(rows, spec)))
    if missing and not spec.missing:
        raise _misfit(
            rows,
            spec,
            lambda value: not _is_missing(value),
            f"a {wanted} is expected, the model takes no missing value",
        )
    try:
        values = np.array(rows, dtype=object)
    except ValueError:
        raise InvalidInput(f"{spec.name}: the rows differ in shape", field=spec.name) from None
    if not _fits(values.shape[1:], spec.row_shape):
        raise _wrong_shape(values, spec)
    flat = [None if _is_missing(value) else value for value in values.ravel()]
    if not all(value is None or fits(value) for value in flat):
        raise _misfit(rows, spec, lambda value: _is_missing(value) or fits(value), f"a {wanted} is expected")
    if wanted == "number":
        with np.errstate(over="ignore"):
            array = np.array(flat, numpy_dtype(spec))
    elif spec.dtype == "datetime":
        array = _timestamps(rows, flat, spec)
    elif wanted == "whole number":
        array = _whole_numbers(rows, flat, spec)
    else:
        array = np.empty(len(flat), object)
        array[:] = flat
    return array.reshape(values.shape)


def _whole_numbers(rows: list[Any], flat: list[Any], spec: TensorSpec) -> NDArray[Any]:
    limits = np.iinfo(NUMPY_DTYPES[spec.dtype])
    whole = [None if value is None else int(value) for value in flat]
    if not all(value is None or limits.min <= value <= limits.max for value in whole):
        fits: Callable[[Any], bool] = lambda value: _is_missing(value) or limits.min <= value <= limits.max  # noqa: E731
        raise _misfit(rows, spec, fits, f"too large for {spec.dtype}")
    if None not in whole:
        return np.array(whole, NUMPY_DTYPES[spec.dtype])
    if all(value is None or abs(value) <= _EXACT for value in whole):
        return np.array(whole, np.float64)
    array = np.empty(len(whole), object)
    array[:] = whole
    return array


def _timestamps(rows: list[Any], flat: list[Any], spec: TensorSpec) -> NDArray[Any]:
    dtype = numpy_dtype(spec)
    found = _UNIT.match(spec.pandas)
    zoned = bool(found and found[2])
    array = np.full(len(flat), np.datetime64("NaT"), dtype)
    for number, value in enumerate(flat):
        if value is not None:
            timestamp = _timestamp(value, dtype, zoned)
            if isinstance(timestamp, str):
                width = max(1, len(flat) // len(rows))
                place = f"{spec.name}[{number % width}]" if spec.row_shape else spec.name
                raise InvalidInput(f"row {number // width}: {place}: {_excerpt(value)} {timestamp}", field=place)
            array[number] = timestamp
    return array


def _timestamp(text: str, dtype: np.dtype[Any], zoned: bool) -> np.datetime64 | str:
    """Return a timestamp of the type, in UTC if the column has a time zone, or the reason why it is invalid."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        return "is not a timestamp in ISO 8601, like 2026-01-31T12:00:00"
    base, utc, sign, hours, minutes = found.groups()
    if bool(utc or sign) != zoned:
        return (
            "lacks its offset from UTC"
            if zoned
            else "has an offset from UTC, the model was trained on timestamps without"
        )
    try:
        timestamp = np.datetime64(base.replace(" ", "T"))
    except ValueError:
        return "is not a valid date or time"
    if sign:
        offset = np.timedelta64(int(hours) * 60 + int(minutes), "m")
        timestamp = timestamp - offset if sign == "+" else timestamp + offset
    fitted: np.datetime64 = timestamp.astype(dtype)
    if np.datetime_as_string(fitted, "ns")[:4] != np.datetime_as_string(timestamp.astype("M8[us]"), "ns")[:4] or (
        fitted.astype("M8[ns]") != timestamp.astype("M8[ns]")
    ):
        return f"is finer than {dtype}, or out of its range"
    return fitted


def _is_missing(value: Any) -> bool:
    return value is None or (type(value) is float and value != value)


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS


def _is_whole(value: Any) -> bool:
    # Beyond 2^53 a float may be a rounded integer.
    return type(value) is int or (type(value) is float and abs(value) <= _EXACT and value.is_integer())


_NUMBER: tuple[str, Callable[[Any], bool]] = ("number", _is_number)
_WANTED: dict[DType, tuple[str, Callable[[Any], bool]]] = {
    "float64": _NUMBER,
    "float32": _NUMBER,
    "float16": _NUMBER,
    "bool": ("bool", lambda value: type(value) is bool),
    "string": ("string", lambda value: type(value) is str),
    "datetime": ("timestamp in ISO 8601", lambda value: type(value) is str),
    "object": ("value", lambda value: type(value) in (int, float, bool, str)),
}


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(want in (-1, have) for want, have in zip(wanted, found, strict=True))


def _wrong_shape(array: NDArray[Any], spec: TensorSpec) -> InvalidInput:
    found = array.shape[1:]
    if len(spec.row_shape) == 1 and len(found) == 1:
        detail = f"{spec.row_shape[0]} features are expected, found {found[0]}"
    else:
        detail = f"a row has shape {list(spec.row_shape)}, found {list(found)}"
    return InvalidInput(f"{spec.name}: {detail}", field=spec.name)


def _leaves(rows: list[Any], spec: TensorSpec) -> Iterator[Any]:
    values: Any = rows
    for _ in spec.row_shape:
        values = chain.from_iterable(values)
    return iter(values)


def _misfit(rows: list[Any], spec: TensorSpec, fits: Callable[[Any], bool], why: str) -> InvalidInput:
    """Return an error that names the first value that does not fit."""
    for row_number, row in enumerate(rows):
        for position, value in enumerate(_leaves([row], spec)):
            if not fits(value):
                place = f"{spec.name}[{position}]" if spec.row_shape else spec.name
                return InvalidInput(f"row {row_number}: {place}: {why}, found {_excerpt(value)}", field=place)
    return InvalidInput(f"{spec.name}: {why}", field=spec.name)


def _excerpt(value: Any) -> str:
    return orjson.dumps(value, default=repr).decode()[:60]


def _refuse_too_large(rows: list[Any], array: NDArray[Any], spec: TensorSpec) -> None:
    if not np.isinf(array).any():
        return
    largest = float(np.finfo(array.dtype).max)
    raise _misfit(rows, spec, lambda value: _is_missing(value) or abs(value) <= largest, f"too large for {spec.dtype}")
