"""A model's signature: its inputs and outputs as named tensors with a type and a shape."""

from __future__ import annotations

from math import prod
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .unknown_values import OrUnknown

# `datetime` is datetime64 in microseconds by default; `object` is a column of mixed text, numbers and booleans.
DType = Literal[
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
    "string",
    "datetime",
    "object",
]
Category: TypeAlias = bool | int | float | str


class TensorSpec(BaseModel):
    """One named tensor. The first dimension of `shape` counts rows and is -1; the others are per row (-1: any).

    `dtype` is the type in transport. `pandas` is the type that a column is converted to for the model, if it is not the numpy
    type: "Int64", "boolean", "category", "datetime64[ns, UTC]"; `categories` are those of the training data, in order.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1)
    dtype: OrUnknown[DType]
    shape: tuple[int, ...] = (-1,)
    missing: bool = Field(default=False, description="whether the model accepts null and NaN here")
    none: bool = Field(
        default=False, description="whether the model gets a missing value as None; otherwise NaN, NaT or NA"
    )
    pandas: str = ""
    categories: tuple[Category, ...] = ()
    ordered: bool = False

    @field_validator("shape")
    @classmethod
    def _rows_first(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if not shape or shape[0] != -1:
            raise ValueError("the first dimension counts rows and must be -1")
        if any(size < -1 or size == 0 for size in shape):
            raise ValueError("dimensions are positive, or -1 for any size")
        return shape

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row: () for a column of scalars."""
        return self.shape[1:]

    @property
    def row_size(self) -> int | None:
        """Number of values in one row, or None if a dimension is free."""
        return None if -1 in self.row_shape else prod(self.row_shape)


class Signature(BaseModel):
    """A model's inputs and outputs.

    One input with a row shape is a plain matrix or image; several inputs with row shape () are the named columns of
    a table.
    """

    model_config = ConfigDict(frozen=True)

    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = ()
    of_sample: bool = Field(
        default=False,
        description="the inputs are derived from the sample's columns; names and order are the model's own",
    )

    @field_validator("inputs", "outputs")
    @classmethod
    def _names_differ(cls, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            raise ValueError("names must differ")
        return specs


def differences(one: Signature, other: Signature) -> list[str]:
    """Return descriptions of how two signatures differ; empty if one version can replace the other.

    Number widths are ignored: JSON has none, and a compiled model may answer in float32.
    """
    found = []
    for side in ("inputs", "outputs"):
        ours = {spec.name: spec for spec in getattr(one, side)}
        theirs = {spec.name: spec for spec in getattr(other, side)}
        found += [f"{side}: {name} is missing" for name in ours if name not in theirs]
        found += [f"{side}: {name} is new" for name in theirs if name not in ours]
        for name in ours.keys() & theirs.keys():
            a, b = ours[name], theirs[name]
            if a.dtype.strip("u0123456789") != b.dtype.strip("u0123456789"):
                found.append(f"{side}: {name} is {b.dtype}, not {a.dtype}")
            if a.shape != b.shape:
                found.append(f"{side}: {name} has shape {list(b.shape)}, not {list(a.shape)}")
    return sorted(found)
