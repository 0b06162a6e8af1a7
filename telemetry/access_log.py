"""The access log: one line for each HTTP request, or for a sample of them."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import structlog

log = structlog.get_logger(__name__)
AccessLogMode: TypeAlias = Literal["off", "errors", "sampled", "all"]
# Writing a line takes 20 µs, as long as sending a request to Kafka.
SAMPLED_PER_SECOND = 50


class AccessLog:
    """Writes the lines of finished requests.

    `sampled` logs every error, and the first SAMPLED_PER_SECOND other requests of each second; the next line says how many
    were left out.
    """

    def __init__(self, mode: AccessLogMode) -> None:
        self._min_status = {"off": 1000, "errors": 400}.get(mode, 0)
        self._limit = SAMPLED_PER_SECOND if mode == "sampled" else math.inf
        self._second = 0
        self._logged = 0  # in this second, without errors
        self._skipped = 0  # since the last line

    def wants(self, status: int, now: float) -> bool:
        """Whether to log a request that ended at `now` (seconds, any monotonic clock)."""
        if status < self._min_status:
            return False
        if status >= 400:
            return True
        second = int(now)
        if second != self._second:
            self._second, self._logged = second, 0
        if self._logged >= self._limit:
            self._skipped += 1
            return False
        self._logged += 1
        return True

    def write(
        self, *, request_id: str, trace_id: str | None, method: str, path: str, status: int, seconds: float
    ) -> None:
        """Write the line of a request that took `seconds`."""
        skipped = {"skipped": self._skipped} if self._skipped else {}
        self._skipped = 0
        log.info(
            "http.request",
            request_id=request_id,
            trace_id=trace_id,
            method=method,
            path=path.encode(errors="backslashreplace").decode(),
            status=status,
            ms=round(1000 * seconds, 2),
            **skipped,
        )
