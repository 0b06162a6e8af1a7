"""What a dead letter holds of the record that it stands for: all of it where that fits, else a part and what is missing.

A letter must fit whatever the record was like: one that a producer had compressed is larger when it is read than a record may
be. So headers and value are cut, and the letter says the full length, the digest and where the record itself lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from ..records import CUT_BYTES, CUT_HEADERS, CUT_SHA256, REASON, REDRIVES, SOURCE, SOURCE_KEY, STACK, UNREADABLE

# Of a value that is too long to be kept whole, so much is kept to look at.
KEPT_BYTES = 64 * 1024
MAX_HEADERS = 64
HEADER_BYTES = 16 * 1024
_REASON_BYTES, _STACK_BYTES, _KEY_BYTES = 2000, 8000, 1024
# What only a letter says of itself; a record that brings one of these along must not pass for something else.
_OURS = frozenset((REDRIVES, CUT_BYTES, CUT_SHA256, CUT_HEADERS))


def dead_letter(
    headers: Iterable[tuple[str, bytes | None]],
    value: bytes | None,
    *,
    whole: int,
    reason: str,
    source: str,
    key: bytes | None = None,
    stack: str = "",
) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Return the value and the headers of a dead letter; a value of more than `whole` bytes is cut."""
    given = list(headers)
    kept = _fitting(given)
    if value == b"" and len(given) == 1 and given[0][0] == UNREADABLE:
        reason = (given[0][1] or b"").decode(errors="replace")  # what its reader missed in it says nothing
    added = [(REASON, _cut(reason.encode(errors="replace"), _REASON_BYTES)), (SOURCE, source.encode())]
    if key is not None:
        added.append((SOURCE_KEY, key[:_KEY_BYTES]))
    if stack:
        added.append((STACK, _cut(stack.encode(errors="replace"), _STACK_BYTES)))
    if value is not None and len(value) > whole:
        added += [(CUT_BYTES, b"%d" % len(value)), (CUT_SHA256, sha256(value).hexdigest().encode())]
        value = value[:KEPT_BYTES]
    if len(kept) < len(given) or kept != given:
        added.append((CUT_HEADERS, b"%d" % len(given)))
    return value, [*kept, *added]


def _fitting(headers: list[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    kept: list[tuple[str, bytes]] = []
    room = HEADER_BYTES
    for name, value in headers[:MAX_HEADERS]:
        room -= len(name) + len(value or b"")
        if room < 0:
            break
        if name not in _OURS:
            kept.append((name, value or b""))
    return kept


def _cut(text: bytes, most: int) -> bytes:
    return text if len(text) <= most else text[: most - 3].decode(errors="ignore").encode() + b"..."
