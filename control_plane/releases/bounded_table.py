"""A table that refuses values too large for a record of its changelog."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from ...schemas.errors import RequestTooLarge

# A last resort, just below the record limit of 4 MiB: all stored values have far lower limits of their own.
TABLE_BYTES = 4_000_000


class BoundedTable(MutableMapping[str, str]):
    """Wraps a table. Faust itself detects a value that is too large only in the background, and then stops the app."""

    def __init__(self, table: MutableMapping[str, str]) -> None:
        self._table = table

    def __setitem__(self, key: str, value: str) -> None:
        """Set a value. Raises RequestTooLarge if it does not fit a record."""
        if len(value) * 4 > TABLE_BYTES and len(value.encode()) > TABLE_BYTES:
            raise RequestTooLarge(
                f"the state of {key[:200]!r} would have {len(value)} characters, more than fits a record"
            )
        self._table[key] = value

    def __getitem__(self, key: str) -> str:
        return self._table[key]

    def __delitem__(self, key: str) -> None:
        del self._table[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
