"""Somebody's model runs in a process that has none of the service's secrets, no network where that can be had, and limits."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import sys
import warnings
from collections.abc import Iterator
from multiprocessing import forkserver

from ..schemas.own_environment import is_plain

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38


def start_forkserver() -> None:
    """Start the server that such processes are forked from, in a clean environment: what it never had nobody finds there.

    What a model's process imports it has imported already, so that a process is there in milliseconds.
    """
    forkserver.set_forkserver_preload(["modelmesh.models.preload"])
    with _clean_environment():
        forkserver.ensure_running()


def isolate(memory_bytes: int, file_bytes: int) -> None:
    """Limit this process, before it touches what came from outside, and let no library of its write into the service's log."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 1024),
    ):
        with contextlib.suppress(ValueError, OSError):  # above what the system allows at most: that limit holds
            resource.setrlimit(kind, (limit, limit))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # A network of its own, with nobody in it. Containers may forbid it; there the network policy has to do.
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWNET)


@contextlib.contextmanager
def _clean_environment() -> Iterator[None]:
    kept = dict(os.environ)
    for name in kept:
        if not is_plain(name):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)
