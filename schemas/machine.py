"""The memory of this machine or container."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Of cgroups v2 and v1. Without a limit they hold "max", or a number larger than any memory.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """Return the memory of the machine in bytes, or its container's limit if that is lower."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(path.read_text()))
    return min(found)
