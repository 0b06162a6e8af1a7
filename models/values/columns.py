"""Values as JSON has them, to arrays of a spec's type: what the type does not hold is refused by column, row and value."""

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
# The types of JSON values that go into an array as they are.
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
# From so many values on, a look at the type of each takes longer than to make an array of them.
MANY = 256
_UNIT = re.compile(r"^datetime64\[(\w+)(?:, (.+))?\]$")
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?)(?:(Z)|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)


def numpy_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """Return the type of the spec's arrays; moments have the unit of the column that the model was trained on."""
    if spec.dtype == "datetime" and (found := _UNIT.match(spec.pandas)):
        moments: np.dtype[Any] = np.dtype(f"M8[{found[1]}]")
        return moments
    plain: np.dtype[Any] = np.dtype(NUMPY_DTYPES[spec.dtype])
    return plain


def read_column(rows: list[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return rows as one array of the spec's type, shape (len(rows), *row_shape).

    A missing value is NaN among floating-point numbers, NaT among moments and None elsewhere; whole numbers with gaps become
    float64 where that holds them, else objects. Raises InvalidInput naming column, row and value.
    """
    array = _many_numbers(rows, spec) if len(rows) * (spec.row_size or MANY) > MANY else None
    if array is None:
        try:
            types = set(map(type, _leaves(rows, spec)))
        except TypeError:
            raise _wrong_shape(np.array(rows, dtype=object), spec) from None
        array = _array(rows, spec) if types <= _PLAIN.get(spec.dtype, _WHOLE) else _with_care(rows, spec, types)
        if spec.dtype == "object" and float in types:
            _refuse_rounded(rows, spec)
    found = array.shape[1:]
    if found != spec.row_shape and not _fits(found, spec.row_shape):
        raise _wrong_shape(array, spec)
    if array.dtype.kind == "f" and not np.logical_and.reduce(np.isfinite(array), axis=None):
        _refuse_too_large(rows, array, spec)
    return array


def _refuse_rounded(rows: list[Any], spec: TensorSpec) -> None:
    """Raise InvalidInput for floats so large that they may have been whole numbers: JSON's reader knows those of 64 bits."""
    fits: Callable[[Any], bool] = lambda value: type(value) is not float or not abs(value) >= _ROUNDED  # noqa: E731
    if not all(map(fits, _leaves(rows, spec))):
        raise _misfit(
            rows, spec, fits, "a number beyond 64 bits is not told from one that was rounded: send it as a string"
        )


def _many_numbers(rows: list[Any], spec: TensorSpec) -> NDArray[Any] | None:
    """Return many numbers as an array, without a look at each one's type; None where that needs a closer look."""
    if spec.dtype not in ("float64", "float32"):
        return None
    try:
        array = np.array(rows)
    except (ValueError, OverflowError):
        return None
    # numpy makes 1 of true where it stands among numbers.
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


def _with_care(rows: list[Any], spec: TensorSpec, types: set[type]) -> NDArray[Any]:
    """Read what does not go into an array as it is: missing values, 2.0 for 2, moments."""
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
        array = _moments(rows, flat, spec)
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


def _moments(rows: list[Any], flat: list[Any], spec: TensorSpec) -> NDArray[Any]:
    dtype = numpy_dtype(spec)
    found = _UNIT.match(spec.pandas)
    zoned = bool(found and found[2])
    array = np.full(len(flat), np.datetime64("NaT"), dtype)
    for number, value in enumerate(flat):
        if value is not None:
            moment = _moment(value, dtype, zoned)
            if isinstance(moment, str):
                width = max(1, len(flat) // len(rows))
                place = f"{spec.name}[{number % width}]" if spec.row_shape else spec.name
                raise InvalidInput(f"row {number // width}: {place}: {_shown(value)} {moment}", field=place)
            array[number] = moment
    return array


def _moment(text: str, dtype: np.dtype[Any], zoned: bool) -> np.datetime64 | str:
    """Return a moment of the type, in UTC where moments have a time zone, or why there is none."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return "is no moment in ISO 8601, like 2026-01-31T12:00:00"
    base, utc, sign, hours, minutes = found.groups()
    if bool(utc or sign) != zoned:
        return (
            "lacks its offset from UTC" if zoned else "has an offset from UTC, the model was trained on moments without"
        )
    try:
        moment = np.datetime64(base.replace(" ", "T"))
    except ValueError:
        return "is no moment that there is"
    if sign:
        offset = np.timedelta64(int(hours) * 60 + int(minutes), "m")
        moment = moment - offset if sign == "+" else moment + offset
    fitted: np.datetime64 = moment.astype(dtype)
    if np.datetime_as_string(fitted, "ns")[:4] != np.datetime_as_string(moment.astype("M8[us]"), "ns")[:4] or (
        fitted.astype("M8[ns]") != moment.astype("M8[ns]")
    ):
        return f"is finer than {dtype}, or beyond it"
    return fitted


def _is_missing(value: Any) -> bool:
    return value is None or (type(value) is float and value != value)


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS


def _is_whole(value: Any) -> bool:
    # Beyond 2^53 what was written in floating point may have been another whole number.
    return type(value) is int or (type(value) is float and abs(value) <= _EXACT and value.is_integer())


_NUMBER: tuple[str, Callable[[Any], bool]] = ("number", _is_number)
_WANTED: dict[DType, tuple[str, Callable[[Any], bool]]] = {
    "float64": _NUMBER,
    "float32": _NUMBER,
    "float16": _NUMBER,
    "bool": ("bool", lambda value: type(value) is bool),
    "string": ("string", lambda value: type(value) is str),
    "datetime": ("moment in ISO 8601", lambda value: type(value) is str),
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
    """Name the first value that does not fit."""
    for row_number, row in enumerate(rows):
        for position, value in enumerate(_leaves([row], spec)):
            if not fits(value):
                place = f"{spec.name}[{position}]" if spec.row_shape else spec.name
                return InvalidInput(f"row {row_number}: {place}: {why}, found {_shown(value)}", field=place)
    return InvalidInput(f"{spec.name}: {why}", field=spec.name)


def _shown(value: Any) -> str:
    return orjson.dumps(value, default=repr).decode()[:60]


def _refuse_too_large(rows: list[Any], array: NDArray[Any], spec: TensorSpec) -> None:
    if not np.isinf(array).any():
        return
    largest = float(np.finfo(array.dtype).max)
    raise _misfit(rows, spec, lambda value: _is_missing(value) or abs(value) <= largest, f"too large for {spec.dtype}")
