"""Small immutable values that are created for each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value_class(cls: type[T]) -> type[T]:
    """Make a dataclass with slots that is immutable only for the type checker.

    A frozen dataclass sets each field through `object.__setattr__`: 2.5 µs for a request's 22 fields, against 0.7.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
