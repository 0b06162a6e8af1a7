"""Infer a model's inputs from sample rows, and its outputs from its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...schemas.errors import InvalidInput
from ...schemas.payloads.signatures import Category, DType, TensorSpec
from ..values.columns import NUMPY_DTYPES
from ..values.tables import FRAME
from ..values.tensors import Tensors

INPUT = "inputs"


def _column_dtype(name: str, values: list[Any]) -> DType:
    types = set(map(type, values)) - {type(None)}
    if types == {str}:
        return "string"
    if types == {bool}:
        return "bool"
    if types == {int}:
        return "uint64" if max(value for value in values if value is not None) >= 2**63 else "int64"
    if types <= {int, float}:
        return "float64"
    raise InvalidInput(f"sample: {name} mixes types: a column is all numbers, all text or all true/false", field=name)


def _column(name: str, values: list[Any]) -> TensorSpec:
    """Return the spec of a column of JSON values; integers with missing values are floats, as in pandas."""
    dtype = _column_dtype(name, values)
    gaps = any(value is None for value in values)
    if gaps and dtype in ("int64", "uint64"):
        dtype = "float64"
    return TensorSpec(name=name, dtype=dtype, pandas="object" if gaps and dtype == "bool" else "")


def infer_inputs(
    sample: list[Any],
    *,
    names: list[str] | None,
    count: int | None,
    dtype: DType | None = "float64",
    typed: Sequence[TensorSpec] = (),
) -> tuple[TensorSpec, ...]:
    """Return the inputs of a model that was trained on rows like these.

    `names` and `count` describe the features on which the model was trained; `typed` holds the types of the columns, or of the
    matrix, that the sample was made from. A matrix without such a type is of `dtype`; if that is None, the values decide.
    Raises InvalidInput if the sample contradicts itself or these, or if nothing describes the inputs.
    """
    known = {spec.name: spec for spec in typed}
    if sample and isinstance(sample[0], dict):
        columns = names or list(sample[0])
        for number, row in enumerate(sample):
            if not isinstance(row, dict) or row.keys() != set(columns):
                raise InvalidInput(
                    f"sample row {number} does not have exactly the features {', '.join(columns)}", field="sample"
                )
        return tuple(known.get(name) or _column(name, [row[name] for row in sample]) for name in columns)
    matrix = typed[0] if len(typed) == 1 and typed[0].row_shape else None
    if names is not None:
        if not sample:
            return tuple(known.get(name) or TensorSpec(name=name, dtype="float64") for name in names)
        rows = [row if isinstance(row, list) else [row] for row in sample]
        if any(len(row) != len(names) for row in rows):
            raise InvalidInput(f"sample rows must have the model's {len(names)} features", field="sample")
        if matrix is not None:
            return tuple(TensorSpec(name=name, dtype=matrix.dtype) for name in names)
        return tuple(_column(name, list(column)) for name, column in zip(names, zip(*rows, strict=True), strict=True))
    if typed:
        return tuple(typed)
    if sample:
        return (_matrix(sample, dtype),)
    if count is not None:
        return (TensorSpec(name=INPUT, dtype=dtype or "float64", shape=(-1, count)),)
    raise InvalidInput("the model does not describe its inputs: give a sample of a few rows", field="sample")


def _matrix(sample: list[Any], dtype: DType | None) -> TensorSpec:
    try:
        array = np.array(sample, dtype=object)
    except ValueError:
        raise InvalidInput("sample: the rows differ in shape", field="sample") from None
    if not array.size:
        raise InvalidInput("sample: its rows have no values", field="sample")
    values = array.ravel().tolist()
    if any(isinstance(value, list) for value in values):
        raise InvalidInput("sample: the rows differ in shape", field="sample")
    if any(type(value) not in (int, float, bool, str, type(None)) for value in values):
        raise InvalidInput("sample: rows must be numbers or text", field="sample")
    kinds = {float if kind is int else kind for kind in map(type, values) if kind is not type(None)}
    found: DType = _column(INPUT, values).dtype if len(kinds) < 2 else "object"
    if dtype is not None and found not in ("string", "bool", "object"):
        found = dtype
    return TensorSpec(name=INPUT, dtype=found, shape=(-1, *array.shape[1:]))


def as_floats(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the specs with integers as floats, for a model that treats 1 and 1.0 alike: later rows may have 200.5.

    Next to float32 columns, integers of 8 and 16 bits become float32: the model converts a table of both to float32.
    """
    narrow = {"int8", "int16", "uint8", "uint16"} if any(spec.dtype == "float32" for spec in specs) else set()
    return tuple(
        spec.model_copy(update={"dtype": "float32" if spec.dtype in narrow else "float64", "pandas": kept})
        if "int" in spec.dtype and (kept := "" if spec.pandas == "object" else spec.pandas) in ("", FRAME)
        else spec
        for spec in specs
    )


def output_specs(outputs: Tensors, classes: Mapping[str, tuple[Category, ...]] | None = None) -> tuple[TensorSpec, ...]:
    """Return the specs of the outputs for the sample rows; `classes` are the classes of an output's columns, by output."""
    specs = []
    for name, array in outputs.items():
        dtype: DType = "string"
        if array.dtype.kind == "M":
            dtype = "datetime"
        elif array.dtype.kind in "fiub":
            dtype = array.dtype.name if array.dtype.name in NUMPY_DTYPES else "float64"
        elif array.dtype.kind == "O" and not all(isinstance(value, str | bytes) for value in array.ravel()):
            dtype = "object"
        categories = (classes or {}).get(name, ())
        specs.append(TensorSpec(name=name, dtype=dtype, shape=(-1, *array.shape[1:]), categories=categories))
    return tuple(specs)


def make_rows(
    specs: tuple[TensorSpec, ...], rows: int, examples: Mapping[str, Sequence[Any]] | None = None
) -> list[Any]:
    """Return synthetic rows for a proof or warm-up without a sample. The result is deterministic.

    `examples` are values from training, by column.
    """
    generator = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {}
    for spec in specs:
        shape = (rows, *(1 if size == -1 else size for size in spec.row_shape))
        if seen := (examples or {}).get(spec.name):
            columns[spec.name] = [seen[number % len(seen)] for number in range(rows)]
        elif spec.categories:
            columns[spec.name] = [spec.categories[number % len(spec.categories)] for number in range(rows)]
        elif spec.dtype in ("string", "object"):
            columns[spec.name] = np.full(shape, "sample").tolist()
        elif spec.dtype == "datetime":
            zone = "+00:00" if ", " in spec.pandas else ""
            columns[spec.name] = np.full(shape, "2026-01-01T00:00:00" + zone).tolist()
        elif spec.dtype == "bool":
            columns[spec.name] = generator.integers(0, 2, shape).astype(bool).tolist()
        elif not spec.dtype.startswith("float"):
            columns[spec.name] = generator.integers(0, 2, shape).tolist()
        else:
            columns[spec.name] = generator.standard_normal(shape).round(6).tolist()
    if len(specs) == 1:
        return columns[specs[0].name]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
