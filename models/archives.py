"""Zip archives that come from outside: nothing may lie outside of them, and none may grow beyond measure."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from ..schemas.errors import InvalidInput

MOST_ENTRIES = 100_000
# A model's numbers hardly shrink; what shrinks a thousandfold was made to.
MOST_RATIO = 200


def check_archive(archive: Path | IO[bytes], largest: int) -> None:
    """Raise InvalidInput for an archive with a path out of it, a link, or more than `largest` bytes when unpacked."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InvalidInput(f"the archive cannot be read: {error}", field="artifact") from None
    if len(entries) > MOST_ENTRIES:
        raise InvalidInput(f"the archive has {len(entries)} entries, more than {MOST_ENTRIES}", field="artifact")
    unpacked = 0
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise InvalidInput(
                f"the archive has the path {entry.filename[:80]!r}, which leads out of it", field="artifact"
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InvalidInput(f"{entry.filename[:80]!r} in the archive is a link", field="artifact")
        unpacked += entry.file_size
        if entry.file_size > 1024 * 1024 and entry.file_size > MOST_RATIO * max(1, entry.compress_size):
            raise InvalidInput(
                f"{entry.filename[:80]!r} in the archive grows from {entry.compress_size} to {entry.file_size} bytes",
                field="artifact",
            )
    if unpacked > largest:
        raise InvalidInput(f"the archive unpacks to {unpacked} bytes, more than {largest}", field="artifact")
