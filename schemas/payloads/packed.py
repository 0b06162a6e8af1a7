"""An array of numbers as a field of a record: 32-bit floats in base64, a quarter of their size as text."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator


def _read(value: Any) -> NDArray[np.float64]:
    if isinstance(value, str):
        value = np.frombuffer(b64decode(value), "<f4")
    found: NDArray[np.float64] = np.asarray(value, np.float64)
    if found.ndim != 1:
        raise ValueError("not a list of numbers")
    return found


def _write(value: NDArray[np.float64]) -> str:
    return b64encode(value.astype("<f4").tobytes()).decode()


Packed: TypeAlias = Annotated[NDArray[np.float64], PlainValidator(_read), PlainSerializer(_write, return_type=str)]


def nothing() -> NDArray[np.float64]:
    """Return an array without numbers."""
    return np.zeros(0)
