"""The spans of requests and batches in a worker."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import SpanKind

from ..telemetry.tracing import Traces, failed
from .results import Ran, Served


class RequestTraces:
    """Writes spans for one model."""

    def __init__(self, traces: Traces, model: str) -> None:
        self._traces = traces
        self._model = model

    def batch(self, ran: Ran, traced: list[str]) -> None:
        """A batch runs for several requests: its span is in the first one's trace, with links to all of them."""
        span = self._traces.follow(
            "batch",
            traced[0],
            SpanKind.INTERNAL,
            seconds=ran.seconds,
            linked=traced,
            attributes={"modelmesh.version": ran.version, "modelmesh.batch_rows": ran.rows},
        )
        if span is not None:
            span.end()

    def request(self, served: Served[Any], seconds: float, fallback: str) -> None:
        """A request that took `seconds`; `fallback` is the version that failed on it before."""
        attributes: dict[str, str | int] = {
            "modelmesh.request_id": served.request.request_id,
            "modelmesh.model": self._model,
            "modelmesh.version": served.version,
            "modelmesh.role": served.request.role,
            "modelmesh.batch_rows": served.batch_rows,
        }
        if fallback:
            attributes["modelmesh.fallback"] = fallback
        span = self._traces.follow("predict", served.request.traceparent, seconds=seconds, attributes=attributes)
        if span is not None:
            if not isinstance(served.outcome, bytes):
                failed(span, served.outcome.code)
            span.end()
