"""Kafka's classes as the JVM has loaded and checked them (class data sharing): a JVM that maps them starts in half the time.

The first broker that stops leaves the archive behind; later ones on this machine use it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path


class ClassArchive:
    """The archive for one Java and one set of jars. One that does not fit is ignored by the JVM, never an error."""

    def __init__(self, java: Path, jars: list[Path], cache: Path, scratch: Path) -> None:
        """`cache` is the folder where archives are kept; `scratch` is a folder of this broker alone."""
        executable = java.resolve()
        identity = "\n".join([str(executable), str(executable.stat().st_mtime_ns), *map(str, jars)])
        self._path = cache / f"kafka-classes-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.jsa"
        self._written = scratch / "classes.jsa"

    def options(self) -> list[str]:
        """Return what makes the JVM use the archive, or write one when it ends where there is none."""
        if self._path.exists():
            return [f"-XX:SharedArchiveFile={self._path}"]
        return [f"-XX:ArchiveClassesAtExit={self._written}"]

    def keep(self) -> None:
        """After a JVM has ended cleanly: put what it wrote where the next one looks. A full disk is ignored."""
        if not self._written.exists():
            return
        arriving = self._path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            shutil.copyfile(self._written, arriving)
            arriving.replace(self._path)
        self._written.unlink(missing_ok=True)
