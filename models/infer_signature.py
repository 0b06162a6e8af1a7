"""Infer a model's inputs from sample rows, and its outputs from what it answered."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..schemas.errors import InvalidInput
from ..schemas.signatures import DType, TensorSpec
from .tensors import Tensors

INPUT = "inputs"


def _column_dtype(name: str, values: list[Any]) -> DType:
    """Numbers are float64 whatever the sample holds: 200 in the sample must not forbid 200.5 later."""
    if all(isinstance(value, str) for value in values):
        return "string"
    if all(isinstance(value, bool) for value in values):
        return "bool"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "float64"
    raise InvalidInput(f"sample: {name} mixes types: a column is all numbers, all text or all true/false", field=name)


def infer_inputs(
    sample: list[Any], *, names: list[str] | None, count: int | None, dtype: DType = "float64"
) -> tuple[TensorSpec, ...]:
    """Return the inputs of a model that was trained on rows like these.

    `names` and `count` are the features that the model says it was trained on. Raises InvalidInput where the sample
    contradicts itself or them, or where nothing says what the inputs are.
    """
    if sample and isinstance(sample[0], dict):
        columns = names or list(sample[0])
        for number, row in enumerate(sample):
            if not isinstance(row, dict) or row.keys() != set(columns):
                raise InvalidInput(
                    f"sample row {number} does not have exactly the features {', '.join(columns)}", field="sample"
                )
        return tuple(
            TensorSpec(name=name, dtype=_column_dtype(name, [row[name] for row in sample])) for name in columns
        )
    if names is not None:
        if sample:
            rows = [row if isinstance(row, list) else [row] for row in sample]
            if any(len(row) != len(names) for row in rows):
                raise InvalidInput(f"sample rows must have the model's {len(names)} features", field="sample")
            columns_of_rows = zip(*rows, strict=True)
            return tuple(
                TensorSpec(name=name, dtype=_column_dtype(name, list(column)))
                for name, column in zip(names, columns_of_rows, strict=True)
            )
        return tuple(TensorSpec(name=name, dtype="float64") for name in names)
    if sample:
        return (_tensor_spec(sample, dtype),)
    if count is not None:
        return (TensorSpec(name=INPUT, dtype=dtype, shape=(-1, count)),)
    raise InvalidInput("the model does not say what its inputs are: give a sample of a few rows", field="sample")


def _tensor_spec(sample: list[Any], dtype: DType) -> TensorSpec:
    try:
        array = np.array(sample)
    except ValueError:
        raise InvalidInput("sample: the rows differ in shape", field="sample") from None
    if array.dtype.kind in "US":
        dtype = "string"
    elif array.dtype.kind not in "fiub":
        raise InvalidInput("sample: rows must be numbers or text", field="sample")
    return TensorSpec(name=INPUT, dtype=dtype, shape=(-1, *array.shape[1:]))


def output_specs(outputs: Tensors) -> tuple[TensorSpec, ...]:
    """Return the outputs as they came for the sample rows."""
    names: dict[str, DType] = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}
    specs = []
    for name, array in outputs.items():
        dtype = names.get(array.dtype.kind, "string")
        if array.dtype == np.float32:
            dtype = "float32"
        specs.append(TensorSpec(name=name, dtype=dtype, shape=(-1, *array.shape[1:])))
    return tuple(specs)


def make_rows(specs: tuple[TensorSpec, ...], rows: int) -> list[Any]:
    """Return rows that fit the inputs, for a proof or a warm-up when nobody gave a sample. Always the same ones."""
    generator = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {}
    for spec in specs:
        shape = (rows, *(1 if size == -1 else size for size in spec.row_shape))
        if spec.dtype == "string":
            columns[spec.name] = np.full(shape, "sample").tolist()
        elif spec.dtype == "bool":
            columns[spec.name] = generator.integers(0, 2, shape).astype(bool).tolist()
        elif spec.dtype in ("int64", "int32"):
            columns[spec.name] = generator.integers(0, 2, shape).tolist()
        else:
            columns[spec.name] = generator.standard_normal(shape).round(6).tolist()
    if len(specs) == 1:
        return columns[specs[0].name]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
