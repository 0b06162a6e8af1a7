"""Keeps secrets out of a process's environment block, which other processes can read in /proc.

A role is started in an environment without secrets and reads them from its standard input (`handed_over`). A process that
was started with secrets by a person or a container runtime overwrites them in the block (`take_over`). Both keep them in
`os.environ`, so that settings and libraries find them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

import orjson

# What a program needs to start. No passwords, keys or addresses.
_KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "TERM", "COLUMNS", "VIRTUAL_ENV")
_KEPT_PREFIXES = (
    "LC_",
    "LD_",
    "DYLD_",
    "JAVA_",
    "JDK_",
    "PYTHON",
    "MALLOC_",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
    "NUMBA_",
    "COVERAGE_",
)
# Of a role's settings, those by which other processes can tell its mesh.
_VISIBLE = ("MODELMESH_DATA", "MODELMESH_NAME")
_SOURCE = "MODELMESH_ENVIRONMENT_FROM"
_PR_SET_DUMPABLE = 4


def is_plain(name: str) -> bool:
    """Whether a variable may be in any process's environment."""
    return name in _KEPT or name.startswith(_KEPT_PREFIXES)


def plain_environment() -> dict[str, str]:
    """Return the environment for a process that needs none of the settings."""
    return {name: value for name, value in os.environ.items() if is_plain(name)}


def handed_over(environment: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Split `environment` for a `modelmesh` command: its environment, and the rest for its standard input.

    Other processes can see only the first.
    """
    plain = {name: value for name, value in environment.items() if is_plain(name) or name in _VISIBLE}
    rest = {name: value for name, value in environment.items() if name not in plain}
    return plain | {_SOURCE: "stdin"}, orjson.dumps(rest)


def take_over() -> None:
    """Read what `handed_over` wrote, or overwrite possible secrets in this process's environment block.

    Must be called first, while the process has one thread.
    """
    if os.environ.pop(_SOURCE, "") == "stdin":
        os.environ.update(orjson.loads(sys.stdin.buffer.read()))
    elif os.name == "posix":
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        libc.getenv.argtypes = [ctypes.c_char_p]
        for name, value in list(os.environ.items()):
            if not is_plain(name) and (place := libc.getenv(os.fsencode(name))):
                ctypes.memset(place, ord("*"), len(os.fsencode(value)))
                os.environ[name] = value  # in new memory, for C libraries that call getenv
    hide_from_others()


def hide_from_others() -> None:
    """On Linux, stop other processes of the same user from reading this one's environment and memory."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
