"""Secrets leave the environment of a process, where whoever may look into /proc reads them for as long as it lives.

A role is started in an environment without them and gets the rest over its standard input (`handed_over`); what a person or a
container's runtime started with them wipes them from the block that /proc shows (`take_over`). In memory they go on as
`os.environ`, so that settings and libraries find them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

import orjson

# What a program needs for its start; passwords, keys and addresses are not among it.
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
# Of a role's settings, what says to those who look at the machine's processes which mesh it belongs to.
_SHOWN = ("MODELMESH_DATA", "MODELMESH_NAME")
_HANDED = "MODELMESH_ENVIRONMENT_FROM"
_PR_SET_DUMPABLE = 4


def is_plain(name: str) -> bool:
    """Whether a variable may stand in any process's environment."""
    return name in _KEPT or name.startswith(_KEPT_PREFIXES)


def plain_environment() -> dict[str, str]:
    """Return the environment for a process that needs nothing of the service's."""
    return {name: value for name, value in os.environ.items() if is_plain(name)}


def handed_over(environment: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Return the environment to start a `modelmesh` command in, and what it is to read on its standard input.

    Together they are `environment`; nothing but the first can be seen from outside.
    """
    plain = {name: value for name, value in environment.items() if is_plain(name) or name in _SHOWN}
    rest = {name: value for name, value in environment.items() if name not in plain}
    return plain | {_HANDED: "stdin"}, orjson.dumps(rest)


def take_over() -> None:
    """Take what `handed_over` wrote; else wipe from this process's own block whatever may be a secret.

    First thing in a process, while it has one thread.
    """
    if os.environ.pop(_HANDED, "") == "stdin":
        os.environ.update(orjson.loads(sys.stdin.buffer.read()))
    elif os.name == "posix":
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        libc.getenv.argtypes = [ctypes.c_char_p]
        for name, value in list(os.environ.items()):
            if not is_plain(name) and (place := libc.getenv(os.fsencode(name))):
                ctypes.memset(place, ord("*"), len(os.fsencode(value)))
                os.environ[name] = value  # in new memory, for libraries that ask for it in C
    hide_from_others()


def hide_from_others() -> None:
    """Linux: other processes of the same user can neither read this one's environment nor its memory."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
