"""Convert arrays to the form of an estimator's training data: a DataFrame with typed columns, or a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.payloads.signatures import TensorSpec
from .columns import numpy_dtype

if TYPE_CHECKING:
    import pandas as pd

# The value of a spec's `pandas` for a matrix that was a DataFrame with numbered columns in training.
FRAME = "DataFrame"


def frame_of(inputs: dict[str, NDArray[Any]], specs: Sequence[TensorSpec], columns: Sequence[Any]) -> pd.DataFrame:
    """Return a DataFrame with these column names, each column in the type of the training data."""
    import pandas as pd

    if len(specs) == 1 and specs[0].row_shape:
        return pd.DataFrame(matrix_of(inputs[specs[0].name], specs[0]), columns=list(columns))
    return pd.DataFrame({name: _series(inputs[spec.name], spec) for name, spec in zip(columns, specs, strict=True)})


def matrix_of(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return the array with missing values as in training: NaN, unless training data had None."""
    if array.dtype.kind != "O" or spec.none:
        return array
    values = array.ravel().tolist()
    if None not in values:
        return array
    filled = np.empty(len(values), object)
    filled[:] = [np.nan if value is None else value for value in values]
    return filled.reshape(array.shape)


def _series(array: NDArray[Any], spec: TensorSpec) -> Any:
    import pandas as pd

    if not spec.pandas:
        # pandas would convert a column of objects to strings; training had objects.
        return pd.Series(matrix_of(array, spec), dtype=object) if array.dtype.kind == "O" else array
    if spec.pandas == "object":
        return pd.Series(matrix_of(_as_objects(array, spec), spec), dtype=object)
    if spec.pandas == "category":
        values = _as_objects(array, spec)
        # Unseen categories are appended: the codes of known ones stay the same, and no value is lost.
        known = list(spec.categories)
        unseen = [value for value in dict.fromkeys(values.tolist()) if value is not None and value not in set(known)]
        return pd.Series(pd.Categorical(values, categories=known + unseen, ordered=spec.ordered))
    if spec.dtype == "datetime":
        timestamps = pd.DatetimeIndex(array.astype(numpy_dtype(spec), copy=False))
        _, zone, name = spec.pandas.rstrip("]").partition(", ")
        return pd.Series(timestamps.tz_localize("UTC").tz_convert(name) if zone else timestamps)
    dtype: Any = spec.pandas
    return pd.Series(_as_objects(array, spec) if array.dtype.kind == "O" else array, dtype=dtype)


def _as_objects(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return the values as Python objects, None for a missing one."""
    if array.dtype.kind == "O":
        values = array.tolist()
    elif array.dtype.kind == "f" and not spec.dtype.startswith("float"):  # integers with missing values
        values = [None if value != value else int(value) for value in array.tolist()]
    elif array.dtype.kind == "f":
        values = [None if value != value else value for value in array.tolist()]
    else:
        values = array.tolist()
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects
