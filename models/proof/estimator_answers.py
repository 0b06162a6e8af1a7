"""Convert an estimator's answers to arrays in which each value keeps its type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput, ModelFailed

_MAX_WIDTH = 10_000  # numbers in one row of an answer


def array_of_answers(answers: Any) -> NDArray[Any]:
    """Return answers as a dense array without bytes, with None for missing values.

    Raises InvalidInput if it is too wide, ModelFailed for bytes that are not UTF-8.
    """
    if hasattr(answers, "toarray"):
        if answers.shape[-1] > _MAX_WIDTH:
            raise InvalidInput(
                f"an answer of {answers.shape[-1]} numbers a row is too wide to be written: end the pipeline in fewer "
                f"than {_MAX_WIDTH} columns"
            )
        answers = answers.toarray()
    if isinstance(answers, np.ma.MaskedArray):
        answers = _unmasked(answers)
    dtypes = list(answers.dtypes) if hasattr(answers, "columns") else [getattr(answers, "dtype", None)]
    if any(hasattr(dtype, "numpy_dtype") for dtype in dtypes):
        answers = _of_nullable(answers)
    array = _of_list(answers) if isinstance(answers, list | tuple) else np.asarray(answers)
    if array.dtype.kind == "S":
        return _each(array.astype(object))
    return _each(array) if array.dtype.kind == "O" else array


def _unmasked(answers: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    array = np.asarray(answers.data)
    mask = np.ma.getmaskarray(answers)
    if array.dtype.names or not mask.any():
        return array
    if array.dtype.kind == "f":
        return np.where(mask, np.asarray(np.nan, array.dtype), array)
    objects = array.astype(object)
    objects[mask] = None
    return objects


def _of_nullable(answers: Any) -> Any:
    """Return pandas' nullable types with missing values as objects: numpy would convert them to floats."""
    return answers.to_numpy(dtype=object) if np.asarray(answers.isna()).any() else answers


def _of_list(answers: list[Any] | tuple[Any, ...]) -> NDArray[Any]:
    """Return a list as an array. Strings and values of several types stay objects, since numpy would convert them."""
    array = np.asarray(answers)
    if array.dtype.kind == "O" or array.dtype.names:
        return array
    objects = np.array(answers, dtype=object)
    if objects.shape != array.shape or (array.dtype.kind != "U" and len(set(map(type, objects.ravel().tolist()))) < 2):
        return array
    return objects


def _each(array: NDArray[Any]) -> NDArray[Any]:
    """Return objects with bytes decoded, and None for pandas' NA."""
    values = array.ravel().tolist()
    if not any(isinstance(value, bytes) or type(value).__name__ == "NAType" for value in values):
        return array
    objects = np.empty(len(values), object)
    objects[:] = [
        _text(value) if isinstance(value, bytes) else None if type(value).__name__ == "NAType" else value
        for value in values
    ]
    return objects.reshape(array.shape)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ModelFailed(f"the model answers {value!r:.80}: bytes that are not UTF-8") from None
