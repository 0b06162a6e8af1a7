"""Arrays, to what an estimator was trained on: a DataFrame with the types of its columns, or a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...schemas.payloads.signatures import TensorSpec
from .columns import numpy_dtype

if TYPE_CHECKING:
    import pandas as pd

# As a spec's `pandas`: a matrix that the model knows as a DataFrame whose columns are numbered.
FRAME = "DataFrame"


def frame_of(inputs: dict[str, NDArray[Any]], specs: Sequence[TensorSpec], columns: Sequence[Any]) -> pd.DataFrame:
    """Return the table with the columns named so, each of the type that training had."""
    import pandas as pd

    if len(specs) == 1 and specs[0].row_shape:
        return pd.DataFrame(matrix_of(inputs[specs[0].name], specs[0]), columns=list(columns))
    return pd.DataFrame({name: _series(inputs[spec.name], spec) for name, spec in zip(columns, specs, strict=True)})


def matrix_of(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return an array whose missing values are those that training had: NaN, where None was not among the values."""
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
        # pandas makes text of a column of objects that looks like it; training had objects.
        return pd.Series(matrix_of(array, spec), dtype=object) if array.dtype.kind == "O" else array
    if spec.pandas == "object":
        return pd.Series(matrix_of(_as_objects(array, spec), spec), dtype=object)
    if spec.pandas == "category":
        values = _as_objects(array, spec)
        # What training had not seen comes after what it had: codes stay what they were, and no value gets lost.
        known = list(spec.categories)
        unseen = [value for value in dict.fromkeys(values.tolist()) if value is not None and value not in set(known)]
        return pd.Series(pd.Categorical(values, categories=known + unseen, ordered=spec.ordered))
    if spec.dtype == "datetime":
        moments = pd.DatetimeIndex(array.astype(numpy_dtype(spec), copy=False))
        _, zone, name = spec.pandas.rstrip("]").partition(", ")
        return pd.Series(moments.tz_localize("UTC").tz_convert(name) if zone else moments)
    dtype: Any = spec.pandas
    return pd.Series(_as_objects(array, spec) if array.dtype.kind == "O" else array, dtype=dtype)


def _as_objects(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return the values as Python has them, None where one is missing."""
    if array.dtype.kind == "O":
        values = array.tolist()
    elif array.dtype.kind == "f" and not spec.dtype.startswith("float"):  # whole numbers with gaps
        values = [None if value != value else int(value) for value in array.tolist()]
    elif array.dtype.kind == "f":
        values = [None if value != value else value for value in array.tolist()]
    else:
        values = array.tolist()
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects
