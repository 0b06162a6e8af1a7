"""Middleware of every HTTP server: request ids, errors as problem documents, metrics, traces and the access log."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import cache

import orjson
import structlog
from aiohttp import web
from aiohttp.compression_utils import HAS_BROTLI, HAS_ZSTD
from aiohttp.typedefs import Handler, Middleware
from opentelemetry.trace import Span
from prometheus_client import CollectorRegistry, Counter, Histogram

from ..schemas.errors import MalformedRequest, ModelMeshError, RequestTooLarge, UnsupportedEncoding
from ..schemas.names import REQUEST_ID
from .access_log import AccessLog, AccessLogMode
from .bookkeeping import Bookkeeping
from .tracing import Traces, failed, known_traceparent, trace_id_of, traceparent_of

log = structlog.get_logger(__name__)
REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID_KEY: web.RequestKey[str] = web.RequestKey("request_id", str)
# Set where nobody needs the answer any more once its client has gone, and nothing is changed half: its handler is cancelled.
FOR_CLIENT_KEY: web.RequestKey[bool] = web.RequestKey("for_client", bool)
TRACEPARENT_KEY: web.RequestKey[str] = web.RequestKey("traceparent", str)

# The status in metrics of requests whose client disconnected.
CLIENT_LEFT = 499
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# What aiohttp unpacks; a body in any other encoding would reach its route as it is.
_ENCODINGS = ("identity", "gzip", "deflate", *(("br",) if HAS_BROTLI else ()), *(("zstd",) if HAS_ZSTD else ()))
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def problem_response(error: ModelMeshError) -> web.Response:
    """Return an error as application/problem+json (RFC 9457), with Retry-After where trying again makes sense."""
    headers = {"Retry-After": f"{max(1, round(error.retry_after))}"} if error.retry_after is not None else {}
    return web.Response(
        status=error.status,
        body=orjson.dumps(error.problem()),
        content_type="application/problem+json",
        headers=error.headers | headers,
    )


def json_response(document: object, status: int = 200) -> web.Response:
    """Return a document as JSON."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def http_middleware(
    registry: CollectorRegistry,
    traces: Traces,
    access_log: AccessLogMode,
    check_door: Callable[[web.Request], None] = lambda request: None,
    is_quiet: Callable[[web.Request], bool] = lambda request: False,
) -> Middleware:
    """Return the middleware that all routes share; `access_log` says which requests are logged.

    `check_door` comes before everything else and raises for what must not be taken further. What `is_quiet` says of a request
    leaves it without a span and without a line in the access log.
    """
    books = _Books(registry, traces, access_log, is_quiet)

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        given = request.headers.get(REQUEST_ID_HEADER)
        known = given is not None and REQUEST_ID.fullmatch(given) is not None
        request_id = request[REQUEST_ID_KEY] = given if given is not None and known else os.urandom(16).hex()
        span = books.begin(request)
        try:
            check_door(request)
            if given is not None and not known:
                raise MalformedRequest(
                    f"{REQUEST_ID_HEADER} has 1 to 128 letters, digits, '.', '_', ':' or '-'", field=REQUEST_ID_HEADER
                )
            _check_encoding(request)
            response = await handler(request)
        except asyncio.CancelledError:
            books.end(request, span, CLIENT_LEFT, started)
            raise
        except Exception as error:
            response = _error_response(request, error)
        books.end(request, span, response.status, started)
        if not response.prepared:
            response.headers[REQUEST_ID_HEADER] = request_id
        return response

    return answer


class _Books:
    """What is written down of each request: metrics, a span where it is sampled, a line in the access log."""

    def __init__(
        self,
        registry: CollectorRegistry,
        traces: Traces,
        access_log: AccessLogMode,
        is_quiet: Callable[[web.Request], bool],
    ) -> None:
        total = Counter("http_requests", "HTTP requests", ("method", "route", "status"), registry=registry)
        seconds = Histogram(
            "http_request_duration_seconds", "Time to answer", ("route",), buckets=SECONDS, registry=registry
        )
        # As many as there are routes and statuses.
        self._total_of, self._seconds_of = cache(total.labels), cache(seconds.labels)
        self._keep = Bookkeeping(registry)
        self._traces = traces
        self._access_log = AccessLog(access_log)
        self._is_quiet = is_quiet

    def begin(self, request: web.Request) -> Span | None:
        """Begin a request's span, where it has one, and note the traceparent for what is done for the request."""
        traceparent = known_traceparent(request.headers.get("traceparent", ""))
        span = None
        if self._traces.on and not self._is_quiet(request):
            span = self._traces.begin(f"{request.method} {_name(request)}", traceparent)
        request[TRACEPARENT_KEY] = traceparent if span is None else traceparent_of(span)
        return span

    def end(self, request: web.Request, span: Span | None, status: int, started: float) -> None:
        """Write down how a request ended that `started` then (`time.perf_counter`)."""
        now = time.perf_counter()
        taken = now - started
        self._keep("metrics", self._count, request.method, _name(request), status, taken)
        if span is not None:
            self._keep("traces", _end_span, span, request[REQUEST_ID_KEY], status)
        if status == CLIENT_LEFT or self._is_quiet(request) or not self._access_log.wants(status, now):
            return
        self._keep(
            "access log",
            self._access_log.write,
            request_id=request[REQUEST_ID_KEY],
            trace_id=trace_id_of(request[TRACEPARENT_KEY]),
            method=request.method,
            path=request.path,
            status=status,
            seconds=taken,
        )

    def _count(self, method: str, name: str, status: int, taken: float) -> None:
        # Labels must not come from callers: their number is unbounded.
        self._total_of(method if method in _METHODS else "other", name, status).inc()
        self._seconds_of(name).observe(taken)


def _name(request: web.Request) -> str:
    """Return the name of a request's route in metrics and traces."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _end_span(span: Span, request_id: str, status: int) -> None:
    span.set_attributes({"http.response.status_code": status, "modelmesh.request_id": request_id})
    if status >= 500:
        failed(span, str(status))
    span.end()


def _check_encoding(request: web.Request) -> None:
    """Raise UnsupportedEncoding for a body that would reach its route packed."""
    encoding = request.headers.get("Content-Encoding")
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding[:40]!a} is not read here: use one of {', '.join(_ENCODINGS)}",
            field="Content-Encoding",
        )


def _error_response(request: web.Request, error: Exception) -> web.Response:
    """Return the response for an exception of a handler."""
    if isinstance(error, web.RequestPayloadError):
        error = _unreadable(error, request.headers.get("Content-Encoding"))
    if isinstance(error, ModelMeshError):
        return _v2_response(error) if request.path.startswith("/v2") else problem_response(error)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return problem_response(RequestTooLarge(error.text))
    if isinstance(error, web.HTTPException):
        return _plain_problem(error)
    # The caller gets the id to ask about, never the traceback.
    request_id = request[REQUEST_ID_KEY]
    log.error("http.failed", request_id=request_id, path=request.path, exc_info=error)
    return problem_response(ModelMeshError(f"something went wrong here; the log has it under {request_id}"))


def _unreadable(error: web.RequestPayloadError, encoding: str | None) -> MalformedRequest:
    """Return what is wrong with a body that cannot be unpacked."""
    reason = " ".join(str(error).split())[:200]
    if encoding is None or "content-encoding" not in reason.lower():
        return MalformedRequest(f"the body cannot be read: {reason}")
    return MalformedRequest(f"the body is not the {encoding[:40]} that Content-Encoding says", field="Content-Encoding")


def _v2_response(error: ModelMeshError) -> web.Response:
    """Return an error in the form of the Open Inference Protocol, which knows no 422."""
    response = problem_response(error)
    response.set_status(400 if error.status == 422 else error.status)
    response.body = orjson.dumps({"error": error.detail})
    response.content_type = "application/json"
    return response


def _plain_problem(error: web.HTTPException) -> web.Response:
    """Return aiohttp's own 404 and 405 in the form of all the others."""
    document = {
        "type": "about:blank", "title": error.reason, "status": error.status, "code": "http", "detail": error.reason
    }  # fmt: skip
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return web.Response(
        status=error.status, body=orjson.dumps(document), content_type="application/problem+json", headers=headers
    )
