"""Symbolic sizes of ONNX tensors, as constants or as multiples of the number of rows, and tensor types with such sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_RANK = 16
MAX_ELEMENTS = 2**40
_MARK = " rows"


class NotProved(Exception):
    """No memory bound can be proved; the message is the reason, in one line."""


@dataclass(frozen=True, slots=True)
class Size:
    """A number of elements, or a dimension: `times`, multiplied by the number of rows in the batch if `by_row`."""

    times: int
    by_row: bool = False

    def __mul__(self, other: Size) -> Size:
        if self.by_row and other.by_row:
            raise NotProved("a tensor's size grows with the square of the rows")
        if abs(self.times * other.times) >= MAX_ELEMENTS:  # ONNX Runtime would overflow beyond 64 bits
            raise NotProved(f"a tensor has {MAX_ELEMENTS} elements or more")
        return Size(self.times * other.times, self.by_row or other.by_row)

    def over(self, other: Size) -> Size:
        """Return the quotient. Raises NotProved if it is not a whole number, or not a size."""
        if not other.times or self.times % other.times or (other.by_row and not self.by_row):
            raise NotProved("a Reshape does not divide evenly")
        return Size(self.times // other.times, self.by_row and not other.by_row)


Sizes = tuple[Size, ...]
ONE = Size(1)


def product(sizes: Sequence[Size]) -> Size:
    """Return the number of elements. Raises NotProved."""
    if any(not size.times for size in sizes):
        return Size(0)
    return math.prod(sizes, start=ONE)


def sizes_of(kind: Any) -> Sizes:
    """Return the sizes in a tensor's TypeProto. Raises NotProved if one is not known."""
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        raise NotProved("its output is not a tensor of a known shape")
    shape = kind.tensor_type.shape.dim
    if len(shape) > MAX_RANK:
        raise NotProved(f"a tensor has more than {MAX_RANK} dimensions")
    return tuple(map(_size_of, shape))


def _size_of(dimension: Any) -> Size:
    if dimension.HasField("dim_value") and dimension.dim_value >= 0:
        return Size(dimension.dim_value)
    times, mark, rest = dimension.dim_param.partition(_MARK)
    if not mark or rest or not times.isdigit():
        raise NotProved("the size of its output depends on values")
    return Size(int(times), True)


def tensor_type(element: int, sizes: Sequence[Size]) -> Any:
    """Return the TypeProto of a tensor."""
    from onnx import helper

    shape = [f"{size.times}{_MARK}" if size.by_row else size.times for size in sizes]
    return helper.make_tensor_type_proto(element, shape)
