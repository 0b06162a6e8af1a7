"""Write a caller's values as JSON without rounding. Errors name the place of a value that JSON cannot represent."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from ...schemas.errors import InvalidInput


def json_of(document: Any) -> bytes:
    """Return a document as JSON: NaN, NaT and NA are null, dates are text in ISO 8601.

    Raises InvalidInput, which names the place, for values that JSON cannot represent, infinities included.
    """
    try:
        body = orjson.dumps(document, default=plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except orjson.JSONEncodeError as error:
        for place, value in _walk(document, ""):
            try:
                orjson.dumps(value, default=plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
            except orjson.JSONEncodeError as misfit:
                why = misfit.__cause__ or misfit
                raise InvalidInput(
                    f"{place or 'inputs'}: {value!r:.80} cannot be written as JSON: {why}", field=place
                ) from None
        raise InvalidInput(f"the inputs cannot be written as JSON: {error}", field="inputs") from None
    if b"null" in body:  # orjson also writes infinities as null
        for place, value in _walk(document, ""):
            if isinstance(value, float | np.floating) and math.isinf(value):
                raise InvalidInput(
                    f"{place}: JSON has no infinity (the Open Inference Protocol's bytes have)", field=place
                )
    return body


def plain(value: Any) -> Any:
    """Return one value in a type that JSON has. Raises TypeError if that loses information."""
    if isinstance(value, np.ndarray):
        refuse_lossy(value)
        return value.tolist()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.longdouble) and value.dtype.itemsize > 8:
        if not np.isnan(value) and float(value) != value:
            raise TypeError("it has more digits than a float64 keeps")
        return float(value)
    if isinstance(value, np.generic) and value.dtype.kind in "fiubU":
        return value.item()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "detach"):
        return value.detach().cpu().tolist()
    if hasattr(value, "tolist") and hasattr(value, "index"):  # a pandas Series
        named = all(isinstance(name, str) for name in value.index)
        return dict(zip(value.index, value.tolist(), strict=True)) if named else value.tolist()
    if isinstance(value, bytes):
        raise TypeError("bytes are not text: decode them")
    raise TypeError(f"JSON has no type for {type(value).__name__}")


def _number(value: Decimal) -> int | float | None:
    """Return a Decimal as a number. Raises TypeError if it has more digits than a float64 keeps."""
    if value.is_nan():
        return None
    if value.is_finite() and value == value.to_integral_value():
        return int(value) if value.adjusted() < 19 else float(value)
    found = float(value)
    if math.isfinite(found) and Decimal(repr(found)) != value:
        raise TypeError("it has more digits than a float64 keeps")
    return found


def refuse_lossy(data: Any) -> None:
    """Raise InvalidInput for an array of a type that JSON does not have."""
    kind = getattr(getattr(data, "dtype", None), "kind", "")
    if kind == "c":
        raise InvalidInput("complex numbers cannot be written as JSON", field="inputs")
    if kind == "S":
        raise InvalidInput(
            "an array of bytes is not text: decode it, for example with numpy.char.decode", field="inputs"
        )
    if kind == "m":
        raise InvalidInput("time spans cannot be written as JSON: convert them to numbers", field="inputs")


def _walk(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Iterate over all nested values, with their places."""
    if isinstance(value, dict):
        for name, each in value.items():
            if not isinstance(name, str):
                yield f"{place}.{name}".lstrip("."), {name: None}
            yield from _walk(each, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        for number, each in enumerate(value):
            yield from _walk(each, f"{place}[{number}]")
    else:
        yield place, value
