"""What this machine has, as far as a container or a service may use it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Of cgroups, the second version and the first: "max" or a number beyond all memory where there is no limit.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """Return the memory that this process may count on, in bytes: the machine's, or its container's limit where that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(path.read_text()))
    return min(found)
