"""Check untrusted zip archives: no paths out of them, no ambiguity, no decompression bombs."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from ...schemas.errors import InvalidInput

MAX_ENTRIES = 100_000
# A model's numbers compress little: a high ratio is a decompression bomb.
MAX_RATIO = 200
_END_OF_DIRECTORY = 22  # bytes, without a comment
_LOCAL_HEADER, _END_RECORD = b"PK\x03\x04", b"PK\x05\x06"


def check_archive(path: Path, max_bytes: int) -> None:
    """Raise InvalidInput for an archive that is ambiguous, unsafe or too large.

    Refused are a path out of the archive, a link, a duplicate name, data before or after the archive (where another format may
    hide), more than `max_bytes` when unpacked, nested archives included, and nesting deeper than one level.
    """
    with path.open("rb") as file:
        _Check(max_bytes).check(file, nested=False)


class _Check:
    """Counts the unpacked bytes and the entries of an archive and its nested archives. Nothing is unpacked to memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._unpacked = self._entries = 0

    def check(self, file: IO[bytes], *, nested: bool) -> None:
        """Check an archive and its nested archives. Raises InvalidInput."""
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
                        if content.read(len(_LOCAL_HEADER)) != _LOCAL_HEADER:
                            continue
                        if nested:
                            raise InvalidInput(
                                f"{entry.filename[:80]!r} is an archive in a nested archive",
                                field="artifact",
                            )
                        self.check(content, nested=True)
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
                f"the archive unpacks to {self._unpacked} bytes or more, nested archives included: more than {self._max_bytes}",
                field="artifact",
            )


def _check_edges(file: IO[bytes], entries: list[zipfile.ZipInfo], comment: bytes) -> None:
    file.seek(0)
    begins = file.read(len(_LOCAL_HEADER))
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _END_OF_DIRECTORY))
    ends = file.read(len(_END_RECORD))
    if begins != _LOCAL_HEADER or not entries or min(entry.header_offset for entry in entries) != 0:
        raise InvalidInput("the file has data before the archive", field="artifact")
    if comment or ends != _END_RECORD:
        raise InvalidInput("the file has data after the archive", field="artifact")


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
