"""A failure of metrics, traces, statistics or logs must never fail a request: it is counted and dropped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec

import structlog
from prometheus_client import CollectorRegistry, Counter

log = structlog.get_logger(__name__)
P = ParamSpec("P")
# Seconds between two log lines about the same kind of failure.
LOG_INTERVAL = 60.0


class Bookkeeping:
    """Calls bookkeeping functions, and catches whatever they raise."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._failures = Counter(
            "bookkeeping_failures", "Metrics, traces and statistics that failed", ("what",), registry=registry
        )
        self._logged: dict[str, float] = {}

    def __call__(self, what: str, do: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `do`; if it raises, count the failure under `what`."""
        try:
            do(*args, **kwargs)
        except Exception as error:  # whatever it is, the answer must go out
            self.failed(what, error)

    def failed(self, what: str, error: BaseException) -> None:
        """Count a failure, and log it at most once a minute for each `what`."""
        self._failures.labels(what).inc()
        now = time.monotonic()
        if now - self._logged.get(what, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._logged[what] = now
            log.warning("bookkeeping.failed", what=what, error=f"{type(error).__name__}: {error}"[:300])
