"""The spans of requests and batches in a worker."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import SpanKind

from ..telemetry.tracing import Traces, failed
from .versions.results import BatchRun, RequestResult


class RequestTraces:
    """Writes spans for one model."""

    def __init__(self, traces: Traces, model: str) -> None:
        self._traces = traces
        self._model = model

    def batch(self, batch: BatchRun, traced: list[str]) -> None:
        """Write a batch's span, in the trace of its first request, with links to all of them."""
        span = self._traces.follow(
            "batch",
            traced[0],
            SpanKind.INTERNAL,
            seconds=batch.seconds,
            linked=traced,
            attributes={"modelmesh.version": batch.version, "modelmesh.batch_rows": batch.rows},
        )
        if span is not None:
            span.end()

    def request(self, result: RequestResult[Any], seconds: float, fallback: str) -> None:
        """Write the span of a request that took `seconds`; `fallback` is the version that failed on it first."""
        attributes: dict[str, str | int] = {
            "modelmesh.request_id": result.request.request_id,
            "modelmesh.model": self._model,
            "modelmesh.version": result.version,
            "modelmesh.role": result.request.role,
            "modelmesh.batch_rows": result.batch_rows,
        }
        if fallback:
            attributes["modelmesh.fallback"] = fallback
        span = self._traces.follow("predict", result.request.traceparent, seconds=seconds, attributes=attributes)
        if span is not None:
            if not isinstance(result.outcome, bytes):
                failed(span, result.outcome.code)
            span.end()
