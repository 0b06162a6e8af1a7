"""A caller's values as JSON: what JSON cannot say is refused by its place, and nothing is rounded."""

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

    Raises InvalidInput for what JSON cannot say, infinities among it, naming the place.
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
    if b"null" in body:  # what an infinity becomes as well
        for place, value in _walk(document, ""):
            if isinstance(value, float | np.floating) and math.isinf(value):
                raise InvalidInput(
                    f"{place}: JSON has no infinity (the Open Inference Protocol's bytes have)", field=place
                )
    return body


def plain(value: Any) -> Any:
    """Return one value as JSON has it. Raises TypeError for what JSON cannot say without a loss."""
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
        raise TypeError("bytes are no text: decode them")
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def _number(value: Decimal) -> int | float | None:
    """Return a Decimal as a number. Raises TypeError where it has more digits than a float64 keeps."""
    if value.is_nan():
        return None
    if value.is_finite() and value == value.to_integral_value():
        return int(value) if value.adjusted() < 19 else float(value)
    found = float(value)
    if math.isfinite(found) and Decimal(repr(found)) != value:
        raise TypeError("it has more digits than a float64 keeps")
    return found


def refuse_lossy(data: Any) -> None:
    """Raise InvalidInput for an array of what JSON has no form for."""
    kind = getattr(getattr(data, "dtype", None), "kind", "")
    if kind == "c":
        raise InvalidInput("complex numbers cannot be written as JSON", field="inputs")
    if kind == "S":
        raise InvalidInput("an array of bytes is no text: decode it, as by numpy.char.decode", field="inputs")
    if kind == "m":
        raise InvalidInput("spans of time cannot be written as JSON: make numbers of them", field="inputs")


def _walk(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Iterate over the values within, with their places."""
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
