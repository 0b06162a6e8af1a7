"""Zip archives that come from outside: nothing may lie outside of them, and none may grow beyond measure."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from ..schemas.errors import InvalidInput

MOST_ENTRIES = 100_000
# A model's numbers hardly shrink; what shrinks a thousandfold was made to.
MOST_RATIO = 200
_END_OF_DIRECTORY = 22  # bytes, without a comment


def check_archive(path: Path, largest: int) -> None:
    """Raise InvalidInput for an archive that two readers could read in two ways, or that is not plain.

    Not plain is one with a path out of it, a link, a name twice, anything before its first or after its last byte (where another
    format may hide), or more than `largest` bytes when unpacked.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            entries = opened.infolist()
            comment = opened.comment
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidInput(f"the archive cannot be read: {error}", field="artifact") from None
    if len(entries) > MOST_ENTRIES:
        raise InvalidInput(f"the archive has {len(entries)} entries, more than {MOST_ENTRIES}", field="artifact")
    _check_edges(path, entries, comment)
    seen: set[str] = set()
    unpacked = 0
    for entry in entries:
        _check_entry(entry)
        name = entry.filename.replace("\\", "/").rstrip("/")
        if name in seen:
            raise InvalidInput(f"the archive has {entry.filename[:80]!r} twice", field="artifact")
        seen.add(name)
        unpacked += entry.file_size
    if unpacked > largest:
        raise InvalidInput(f"the archive unpacks to {unpacked} bytes, more than {largest}", field="artifact")


def _check_edges(path: Path, entries: list[zipfile.ZipInfo], comment: bytes) -> None:
    with path.open("rb") as file:
        begins = file.read(4)
        file.seek(-_END_OF_DIRECTORY, 2)
        ends = file.read(4)
    if begins != b"PK\x03\x04" or not entries or min(entry.header_offset for entry in entries) != 0:
        raise InvalidInput("something stands before the archive in the file", field="artifact")
    if comment or ends != b"PK\x05\x06":
        raise InvalidInput("something stands behind the archive in the file", field="artifact")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InvalidInput(f"the archive has the path {entry.filename[:80]!r}, which leads out of it", field="artifact")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InvalidInput(f"{entry.filename[:80]!r} in the archive is a link", field="artifact")
    if entry.file_size > 1024 * 1024 and entry.file_size > MOST_RATIO * max(1, entry.compress_size):
        raise InvalidInput(
            f"{entry.filename[:80]!r} in the archive grows from {entry.compress_size} to {entry.file_size} bytes",
            field="artifact",
        )
