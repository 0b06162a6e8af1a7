"""A table of which each value fits into a record of its changelog."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from ...schemas.errors import RequestTooLarge

# Everything that is kept in tables has bounds of its own, far below this: it is the last one, that of a record being 4 MiB.
TABLE_BYTES = 4_000_000


class BoundedTable(MutableMapping[str, str]):
    """Passes on to a table. Faust would find out in the background that a value is too large, and stop the app for it."""

    def __init__(self, table: MutableMapping[str, str]) -> None:
        self._table = table

    def __setitem__(self, key: str, value: str) -> None:
        """Keep a value. Raises RequestTooLarge for one that its changelog would not take."""
        if len(value) * 4 > TABLE_BYTES and len(value.encode()) > TABLE_BYTES:
            raise RequestTooLarge(
                f"what is known of {key[:200]!r} would take {len(value)} characters, more than a record may"
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
