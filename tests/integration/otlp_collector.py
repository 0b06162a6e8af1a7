"""An OpenTelemetry collector that keeps the spans that it receives."""

import gzip
from dataclasses import dataclass

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collected:
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: list[str]
    attributes: dict
    milliseconds: float


class Collector:
    def __init__(self):
        self.spans: list[Collected] = []
        self.url = ""

    async def __aenter__(self):
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/traces"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    def of_trace(self, trace_id):
        return [span for span in self.spans if span.trace_id == trace_id]

    async def _take(self, request):
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Collected(
                            service,
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            [link.span_id.hex() for link in span.links],
                            {a.key: a.value.string_value or a.value.int_value for a in span.attributes},
                            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
                        )
                    )
        return web.Response(body=b"", content_type="application/x-protobuf")
