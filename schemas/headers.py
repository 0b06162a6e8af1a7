"""Declarations of a record's headers, used for writing, reading and the AsyncAPI document.

A missing header stands for the default of its field, and a field with its default is not written, unless the header is
`always` written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar, cast

from .errors import MalformedRecord

Headers: TypeAlias = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class HeaderType:
    """Converts a value to bytes and back; `write` and `read` raise ValueError, OverflowError or TypeError."""

    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    schema: dict[str, Any]


_WHOLE_NUMBER = {"type": "string", "pattern": "^-?[0-9]+$"}
TEXT = HeaderType(str.encode, bytes.decode, {"type": "string"})
WHOLE = HeaderType(lambda value: b"%d" % value, int, _WHOLE_NUMBER)
# Seconds, written as milliseconds.
MILLISECONDS = HeaderType(lambda value: b"%d" % round(value * 1000), lambda value: int(value) / 1000, _WHOLE_NUMBER)
# Seconds with six decimal places.
DECIMAL = HeaderType(lambda value: f"{value:.6f}".encode(), float, {"type": "string"})
# True if the header is present.
FLAG = HeaderType(lambda _: b"1", lambda _: True, {"type": "string"})


@dataclass(frozen=True, slots=True)
class Header:
    """A header, and the field that it is read into.

    `always`: written even if the value is the default. `internal`: left out of the AsyncAPI document. `about` and `schema`
    are added to the type's schema there.
    """

    name: str
    attribute: str
    type: HeaderType = TEXT
    always: bool = False
    internal: bool = False
    about: str = ""
    schema: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the JSON schema of the header's text."""
        return self.type.schema | self.schema | ({"description": self.about} if self.about else {})


Value = TypeVar("Value")


class HeaderTable(Generic[Value]):
    """The headers of one kind of record, in the order in which they are written."""

    def __init__(self, record: type[Value], *headers: Header) -> None:
        defaults = {one.name: one.default for one in fields(cast(Any, record))}
        self._headers = headers
        self._readers = {header.name: (header.attribute, header.type.read) for header in headers}
        self._required = {header.attribute: header.name for header in headers if defaults[header.attribute] is MISSING}
        self._record: Callable[..., Value] = record
        self._values = attrgetter(*(header.attribute for header in headers))
        # For each header: its name, its writer, and the value that is not written.
        self._writers = [
            (header.name, header.type.write, MISSING if header.always else defaults[header.attribute])
            for header in headers
        ]

    def write(self, record: Value) -> list[tuple[str, bytes]]:
        """Return a record's headers."""
        return [
            (name, write(value))
            for (name, write, default), value in zip(self._writers, self._values(record), strict=False)
            if value is not default and value != default  # `is` first: it is faster, and true for most
        ]

    def read(self, headers: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
        """Return the fields in the headers, ignoring unknown ones. Raises MalformedRecord naming an unreadable header."""
        readers = self._readers
        found: dict[str, Any] = {}
        name, value = "", b""
        try:
            for name, value in headers:
                if name in readers:
                    attribute, read = readers[name]
                    found[attribute] = read(value)
        except (ValueError, OverflowError, TypeError):
            shown = ascii(value.decode(errors="replace") if isinstance(value, bytes) else value)[:140]
            raise MalformedRecord(f"header {name} cannot be read: {shown}", field=name) from None
        return found

    def make(self, found: dict[str, Any], body: bytes) -> Value:
        """Return the record with these fields. Raises MalformedRecord naming a missing header."""
        try:
            return self._record(body=body, **found)
        except TypeError:
            missing = next(name for attribute, name in self._required.items() if attribute not in found)
            raise MalformedRecord(f"header {missing} is missing", field=missing) from None

    def name_of(self, attribute: str) -> str:
        """Return the name of the header that an attribute is read from."""
        return next(header.name for header in self._headers if header.attribute == attribute)

    def document(self) -> dict[str, Any]:
        """Return the JSON schema of the headers."""
        properties = {header.name: header.document() for header in self._headers if not header.internal}
        return {"type": "object", "properties": properties, "required": list(self._required.values())}
