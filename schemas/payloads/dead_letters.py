"""The value and headers of a dead letter: the whole record if it fits, else a part of it.

A decompressed record may exceed the record limit. Headers and value are then cut, and the letter gives the full length, the
digest and the position of the record itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from ..records import CUT_BYTES, CUT_HEADERS, CUT_SHA256, REASON, REDRIVES, SOURCE, SOURCE_KEY, STACK, UNREADABLE

# How much is kept of a value that is too long.
KEPT_BYTES = 64 * 1024
MAX_HEADERS = 64
HEADER_BYTES = 16 * 1024
_REASON_BYTES, _STACK_BYTES, _KEY_BYTES = 2000, 8000, 1024
# Headers of the letter itself. Those of the record are dropped, since they would be mistaken for the letter's.
_LETTER_HEADERS = frozenset((REDRIVES, CUT_BYTES, CUT_SHA256, CUT_HEADERS))


def dead_letter(
    headers: Iterable[tuple[str, bytes | None]],
    value: bytes | None,
    *,
    max_bytes: int,
    reason: str,
    source: str,
    key: bytes | None = None,
    stack: str = "",
) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Return the value and the headers of a dead letter; a value of more than `max_bytes` is cut."""
    given = list(headers)
    kept = _fitting(given)
    if value == b"" and len(given) == 1 and given[0][0] == UNREADABLE:
        reason = (given[0][1] or b"").decode(errors="replace")  # its own reason, from when it could not be read
    added = [(REASON, _cut(reason.encode(errors="replace"), _REASON_BYTES)), (SOURCE, source.encode())]
    if key is not None:
        added.append((SOURCE_KEY, key[:_KEY_BYTES]))
    if stack:
        added.append((STACK, _cut(stack.encode(errors="replace"), _STACK_BYTES)))
    if value is not None and len(value) > max_bytes:
        added += [(CUT_BYTES, b"%d" % len(value)), (CUT_SHA256, sha256(value).hexdigest().encode())]
        value = value[:KEPT_BYTES]
    if len(kept) < len(given) or kept != given:
        added.append((CUT_HEADERS, b"%d" % len(given)))
    return value, [*kept, *added]


def _fitting(headers: list[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    kept: list[tuple[str, bytes]] = []
    remaining = HEADER_BYTES
    for name, value in headers[:MAX_HEADERS]:
        remaining -= len(name) + len(value or b"")
        if remaining < 0:
            break
        if name not in _LETTER_HEADERS:
            kept.append((name, value or b""))
    return kept


def _cut(text: bytes, limit: int) -> bytes:
    return text if len(text) <= limit else text[: limit - 3].decode(errors="ignore").encode() + b"..."
