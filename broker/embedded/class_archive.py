"""The JVM's class data sharing archive for Kafka, which halves the broker's start time.

The first broker that stops writes the archive; later ones on this machine use it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path


class ClassArchive:
    """The archive for one Java and one set of jars. The JVM ignores an archive that does not match."""

    def __init__(self, java: Path, jars: list[Path], cache: Path, scratch: Path) -> None:
        """`cache` is the folder for archives; `scratch` is this broker's own folder."""
        executable = java.resolve()
        identity = "\n".join([str(executable), str(executable.stat().st_mtime_ns), *map(str, jars)])
        self._path = cache / f"kafka-classes-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.jsa"
        self._written = scratch / "classes.jsa"

    def options(self) -> list[str]:
        """Return the JVM options that use the archive, or write one on exit if there is none."""
        if self._path.exists():
            return [f"-XX:SharedArchiveFile={self._path}"]
        return [f"-XX:ArchiveClassesAtExit={self._written}"]

    def keep(self) -> None:
        """Move a written archive into the cache, after the JVM has ended. A full disk is ignored."""
        if not self._written.exists():
            return
        temporary = self._path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            shutil.copyfile(self._written, temporary)
            temporary.replace(self._path)
        self._written.unlink(missing_ok=True)
