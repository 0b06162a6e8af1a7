"""Zip archives that come from outside: nothing may lie outside of them, and none may grow beyond measure."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from ...schemas.errors import InvalidInput

MAX_ENTRIES = 100_000
# A model's numbers hardly shrink; what shrinks a thousandfold was made to.
MAX_RATIO = 200
_END_OF_DIRECTORY = 22  # bytes, without a comment
_BEGINS, _ENDS = b"PK\x03\x04", b"PK\x05\x06"


def check_archive(path: Path, max_bytes: int) -> None:
    """Raise InvalidInput for an archive that two readers could read in two ways, or that is not plain.

    Not plain is one with a path out of it, a link, a name twice, anything before its first or after its last byte (where another
    format may hide), or more than `max_bytes` bytes when unpacked, with the archives in it, which may have none in them.
    """
    with path.open("rb") as file:
        _Check(max_bytes).look_at(file, nested=False)


class _Check:
    """What is left of the bytes and entries that an archive and those in it may have together. Nothing is unpacked to memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._unpacked = self._entries = 0

    def look_at(self, file: IO[bytes], *, nested: bool) -> None:
        """Look at an archive and at those in it. Raises InvalidInput."""
        try:
            with zipfile.ZipFile(file) as opened:
                entries = opened.infolist()
                self._entries += len(entries)
                if self._entries > MAX_ENTRIES:
                    raise InvalidInput(f"the archive has more than {MAX_ENTRIES} entries", field="artifact")
                _check_edges(file, entries, opened.comment)
                self._count(entries)
                for entry in entries:
                    with opened.open(entry) as content:
                        if content.read(len(_BEGINS)) != _BEGINS:
                            continue
                        if nested:
                            raise InvalidInput(
                                f"{entry.filename[:80]!r} is an archive in an archive in the archive", field="artifact"
                            )
                        self.look_at(content, nested=True)
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise InvalidInput(f"the archive cannot be read: {error}", field="artifact") from None

    def _count(self, entries: list[zipfile.ZipInfo]) -> None:
        seen: set[str] = set()
        for entry in entries:
            _check_entry(entry)
            name = entry.filename.replace("\\", "/").rstrip("/")
            if name in seen:
                raise InvalidInput(f"the archive has {entry.filename[:80]!r} twice", field="artifact")
            seen.add(name)
            self._unpacked += entry.file_size
        if self._unpacked > self._max_bytes:
            raise InvalidInput(
                f"the archive unpacks to {self._unpacked} bytes or more, with those in it: more than {self._max_bytes}",
                field="artifact",
            )


def _check_edges(file: IO[bytes], entries: list[zipfile.ZipInfo], comment: bytes) -> None:
    file.seek(0)
    begins = file.read(len(_BEGINS))
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _END_OF_DIRECTORY))
    ends = file.read(len(_ENDS))
    if begins != _BEGINS or not entries or min(entry.header_offset for entry in entries) != 0:
        raise InvalidInput("something stands before the archive in the file", field="artifact")
    if comment or ends != _ENDS:
        raise InvalidInput("something stands behind the archive in the file", field="artifact")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InvalidInput(f"the archive has the path {entry.filename[:80]!r}, which leads out of it", field="artifact")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InvalidInput(f"{entry.filename[:80]!r} in the archive is a link", field="artifact")
    if entry.file_size > 1024 * 1024 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        raise InvalidInput(
            f"{entry.filename[:80]!r} in the archive grows from {entry.compress_size} to {entry.file_size} bytes",
            field="artifact",
        )
