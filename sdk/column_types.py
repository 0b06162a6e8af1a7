"""Infer an input signature from the types of a table or an array, so that a model gets the types of its training data."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from ..models.proof.infer_signature import INPUT
from ..models.values.columns import NUMPY_DTYPES
from ..models.values.tables import FRAME
from ..schemas.errors import InvalidInput
from ..schemas.payloads.signatures import DType, Signature, TensorSpec
from .rows import is_table, numbered

# With more categories than this, a version does not store them.
MAX_CATEGORIES = 1000


def signature_of(sample: Any) -> Signature | None:
    """Return the signature that a sample's types give, for models whose file has none; None for lists."""
    specs = _specs(sample)
    return Signature(inputs=specs, of_sample=True) if specs else None


def _specs(sample: Any) -> tuple[TensorSpec, ...]:
    if is_table(sample):
        if not numbered(sample.columns):
            return tuple(_column(str(name), sample.iloc[:, place]) for place, name in enumerate(sample.columns))
        specs = tuple(_column(str(place), sample.iloc[:, place]) for place in range(len(sample.columns)))
        if specs and len({(spec.dtype, spec.pandas) for spec in specs}) == 1 and not specs[0].pandas:
            return (TensorSpec(name=INPUT, dtype=specs[0].dtype, shape=(-1, len(specs)), pandas=FRAME),)
        return specs
    dtype = getattr(sample, "dtype", None)
    if (
        not isinstance(sample, np.ndarray)
        or dtype is None
        or sample.ndim < 1
        or dtype.kind not in "fiub"
        or dtype.itemsize > 8
    ):
        return ()
    if sample.ndim == 1:  # one row
        return ()
    return (TensorSpec(name=INPUT, dtype=_named(dtype.name), shape=(-1, *sample.shape[1:])),)


def _column(name: str, series: Any) -> TensorSpec:
    """Return a column's spec: the type that is sent, and the pandas type if numpy has no equivalent."""
    dtype_name = str(series.dtype)
    if dtype_name == "category":
        return _category(name, series)
    if isinstance(series.dtype, np.dtype):
        if dtype_name in NUMPY_DTYPES and dtype_name != "object":
            return TensorSpec(name=name, dtype=_named(dtype_name))
        if series.dtype.kind == "M":
            return TensorSpec(name=name, dtype="datetime", pandas=dtype_name)
        if dtype_name == "object":
            return _objects(name, series)
    elif series.dtype.kind == "M":
        return TensorSpec(name=name, dtype="datetime", pandas=dtype_name)
    elif dtype_name in ("str", "string") or dtype_name.startswith("string["):
        return TensorSpec(name=name, dtype="string", pandas="str" if dtype_name == "str" else "string")
    elif (numeric := dtype_name.lower()) in NUMPY_DTYPES and numeric not in ("string", "object", "datetime"):
        return TensorSpec(name=name, dtype=_named(numeric), pandas=dtype_name)
    elif dtype_name == "boolean":
        return TensorSpec(name=name, dtype="bool", pandas=dtype_name)
    raise InvalidInput(f"{name}: a column of {dtype_name} cannot be sent: convert it to numbers or text", field=name)


def _category(name: str, series: Any) -> TensorSpec:
    values = series.cat.categories.tolist()
    dtype = _dtype_of(values)
    if dtype is None:
        raise InvalidInput(f"{name}: categories must be numbers, text or true and false", field=name)
    kept = tuple(values) if len(values) <= MAX_CATEGORIES else ()
    return TensorSpec(name=name, dtype=dtype, pandas="category", categories=kept, ordered=bool(series.cat.ordered))


def _objects(name: str, series: Any) -> TensorSpec:
    """Return the spec of a column of objects: text, mixed values, or Decimals, which are sent as float64."""
    known = series[~series.isna()].tolist()
    values = [value.item() if isinstance(value, np.generic) else value for value in known]
    none = any(value is None for value in series.tolist())
    dtype = _dtype_of(values)
    if dtype == "string":
        return TensorSpec(name=name, dtype="string", none=none)
    if dtype is None:
        if all(isinstance(value, Decimal) for value in values):
            return TensorSpec(name=name, dtype="float64")
        odd = next(value for value in values if type(value) not in (str, bool, int, float))
        raise InvalidInput(f"{name}: {odd!r:.60} ({type(odd).__name__}) cannot be sent", field=name)
    return TensorSpec(name=name, dtype=dtype, pandas="object", none=none)


def _dtype_of(values: list[Any]) -> DType | None:
    types = set(map(type, values))
    if not types or types == {str}:
        return "string"
    for kind, dtype in ((bool, "bool"), (int, "int64"), (float, "float64")):
        if types == {kind}:
            return _named(dtype)
    return "object" if types <= {str, bool, int, float} else None


def _named(name: str) -> DType:
    return name  # type: ignore[return-value]
