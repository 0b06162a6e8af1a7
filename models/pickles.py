"""Which classes and functions a pickle names, found without running any of them."""

from __future__ import annotations

import io
import pickle
from typing import Any

from ..schemas.errors import InvalidInput


class _Inert:
    """Stands for whatever the pickle names: it can be called, filled and subscripted, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return _Inert()

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    def extend(self, _: Any) -> None:
        pass

    def add(self, _: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


class _Namer(pickle._Unpickler):  # the one in Python: the one in C would believe less of what stands here
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.named: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.named.add(f"{module}.{name}")
        return _Inert

    def persistent_load(self, _: Any) -> Any:
        return _Inert()


def names_in(data: bytes) -> set[str]:
    """Return the dotted names of all that a pickle would import. Raises InvalidInput for one that cannot be read."""
    namer = _Namer(io.BytesIO(data))
    try:
        namer.load()
    except Exception as error:  # it was made to be odd
        raise InvalidInput(
            f"a pickle in the file cannot be read: {type(error).__name__}: {error}", field="artifact"
        ) from None
    return namer.named
