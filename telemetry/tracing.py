"""Traces by OpenTelemetry: a request that is sampled at the gateway has a span in each role that it passes.

The decision travels in the W3C traceparent, as a record header on the log, so the others pay for sampled requests alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from ..schemas.settings.role import RoleSettings

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,200})?")


def known_traceparent(given: str) -> str:
    """Return a valid traceparent, else an empty text: W3C has an invalid one ignored, not refused."""
    return given if not given or _TRACEPARENT.fullmatch(given) else ""


class Traces:
    """Makes the spans of one role; without a processor it makes none and lets traceparents through as they are."""

    def __init__(self, role: str, replica: str, sample: float, processor: SpanProcessor | None) -> None:
        self._provider: TracerProvider | None = None
        if processor is not None:
            names = {
                "service.name": f"modelmesh-{role}",
                "service.namespace": "modelmesh",
                "service.instance.id": replica,
            }
            self._provider = TracerProvider(
                sampler=ParentBased(TraceIdRatioBased(sample)), resource=Resource.create(names)
            )
            self._provider.add_span_processor(processor)
            self._tracer = self._provider.get_tracer("modelmesh")

    @classmethod
    def from_settings(cls, settings: RoleSettings, role: str) -> Traces:
        """Export spans to the collector in the settings, if there is one."""
        if not settings.otlp:
            return cls(role, settings.name, 0.0, None)
        # While the collector is down spans are dropped; a log line for each attempt would flood the log.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = OTLPSpanExporter(endpoint=settings.otlp, timeout=5)
        return cls(role, settings.name, settings.trace_sample, BatchSpanProcessor(exporter))

    @property
    def on(self) -> bool:
        """Whether any spans are made."""
        return self._provider is not None

    def begin(self, name: str, traceparent: str) -> Span | None:
        """Start a request's root span, or continue its caller's trace; None if it is not sampled."""
        if self._provider is None:
            return None
        context = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None
        span = self._tracer.start_span(name, context, SpanKind.SERVER)
        return span if span.is_recording() else None

    def follow(
        self,
        name: str,
        traceparent: str,
        kind: SpanKind = SpanKind.CONSUMER,
        *,
        seconds: float = 0.0,
        linked: Sequence[str] = (),
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Span | None:
        """Return a span that began so many seconds ago, under a sampled parent and linked to others; else None."""
        if self._provider is None or not is_sampled(traceparent):
            return None
        return self._tracer.start_span(
            name,
            _PROPAGATOR.extract({"traceparent": traceparent}),
            kind,
            attributes=attributes,
            links=[Link(get_current_span(_PROPAGATOR.extract({"traceparent": t})).get_span_context()) for t in linked],
            start_time=time.time_ns() - int(seconds * 1e9),
        )

    async def close(self) -> None:
        """Flush the remaining spans."""
        if self._provider is not None:
            await asyncio.to_thread(self._provider.shutdown)


def is_sampled(traceparent: str) -> bool:
    """Whether the traceparent is sampled."""
    return len(traceparent) == 55 and traceparent[-1] in "13579bdf"


def traceparent_of(span: Span) -> str:
    """Return what a span's children are given."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_id_of(traceparent: str) -> str:
    """Return the trace's id, or nothing where there is no trace."""
    return traceparent[3:35] if len(traceparent) == 55 else ""


def failed(span: Span, why: str) -> None:
    """Mark a span as failed."""
    span.set_status(Status(StatusCode.ERROR, why))
