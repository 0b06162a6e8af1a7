"""JSON logs, one object a line, on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from functools import lru_cache, partial
from typing import Any, BinaryIO, cast

import orjson
import structlog

# A field of a log line is redacted if its name contains one of these.
_SECRET = ("password", "secret", "token", "authorization", "api_key", "apikey", "credential")


def configure_logs(level: str, role: str, name: str) -> None:
    """Send this process's logs to standard error as JSON; every line says which role and replica wrote it."""
    threshold = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            partial(_said_by, {"role": role, "replica": name}),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.processors.JSONRenderer(serializer=orjson.dumps, default=repr),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, _Unfailing(sys.stderr.buffer))),
        cache_logger_on_first_use=True,
    )


def _said_by(who: dict[str, str], _: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say who writes the line, from whichever thread."""
    return {**who, **line}


class _Unfailing:
    """A file for logs: a line that cannot be written (closed pipe, full disk) is lost, and costs its writer nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: bytes) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the file is closed
            self._file.write(line)
        return len(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def _without_secrets(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in line:
        if _names_a_secret(name):
            line[name] = "***"
    return line


@lru_cache(1000)  # the same names come with each request
def _names_a_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)
