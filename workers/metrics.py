"""A worker's metrics."""

from __future__ import annotations

import contextlib
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..resilience.circuit_breaker import STATES, State
from ..schemas.errors import ModelMeshError
from .versions.results import BatchRun

_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class WorkerMetrics:
    """Counters and histograms by model and version."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("model", "version")
        predictions = Counter("predictions", "Requests answered", (*labels, "status"), registry=registry)
        batch_size = Histogram("batch_size", "Rows of a batch", labels, buckets=_ROWS, registry=registry)
        self._breaker_state = Gauge("breaker_state", "0 closed, 1 half open, 2 open", labels, registry=registry)
        self._differences = Counter(
            "compiled_differences",
            "Batches in which a compiled form differed from its model",
            labels,
            registry=registry,
        )
        seconds = Histogram(
            "inference_seconds", "Time of a batch in the model", labels, buckets=_SECONDS, registry=registry
        )

        wait = Histogram("queue_wait_seconds", "Time in the batch queue", labels, buckets=_SECONDS, registry=registry)
        # Cached for each request or batch: prometheus_client's own look-up takes a microsecond.
        self._predictions_of, self._batch_size_of = cache(predictions.labels), cache(batch_size.labels)
        self._seconds_of, self._wait_of = cache(seconds.labels), cache(wait.labels)

    def watched(self, model: str, version: str) -> None:
        """Export the counter of a watched compiled form at 0: Prometheus sees no increase if it first appears at 1."""
        self._differences.labels(model, version)

    def differs(self, model: str, version: str) -> None:
        """Count a batch in which a compiled form differed from its model."""
        self._differences.labels(model, version).inc()

    def breaker(self, model: str, version: str, state: State) -> None:
        """Export a breaker's state."""
        self._breaker_state.labels(model, version).set(STATES[state])

    def forget(self, model: str, version: str) -> None:
        """Remove the state of an unloaded version."""
        with contextlib.suppress(KeyError):
            self._breaker_state.remove(model, version)

    def served(self, model: str, version: str, outcome: bytes | ModelMeshError) -> None:
        """Count one answer."""
        status = "200" if isinstance(outcome, bytes) else str(outcome.status)
        self._predictions_of(model, version, status).inc()

    def batch(self, model: str, batch: BatchRun) -> None:
        """Count one batch."""
        self._batch_size_of(model, batch.version).observe(batch.rows)
        self._seconds_of(model, batch.version).observe(batch.seconds)
        wait = self._wait_of(model, batch.version)
        for seconds in batch.waits:
            wait.observe(seconds)
