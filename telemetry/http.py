"""What every HTTP answer has: a request id, errors as problem documents, and a place in the metrics."""

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
from .bookkeeping import Bookkeeping
from .tracing import Traces, failed, known_traceparent, trace_id_of, traceparent_of

log = structlog.get_logger(__name__)
REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID_KEY: web.RequestKey[str] = web.RequestKey("request_id", str)
# Set where nobody needs the answer any more once its client has gone, and nothing is changed half: its handler is cancelled.
FOR_CLIENT_KEY: web.RequestKey[bool] = web.RequestKey("for_client", bool)
TRACEPARENT_KEY: web.RequestKey[str] = web.RequestKey("traceparent", str)

# In metrics, for requests whose client has gone.
CLIENT_LEFT = 499
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# Asked several times a minute by machines: a line for each would hide the others.
_QUIET = frozenset(("/metrics", "/health", "/health/live", "/health/ready"))
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


def _v2_response(error: ModelMeshError) -> web.Response:
    """Return an error in the form of the Open Inference Protocol, which knows no 422."""
    response = problem_response(error)
    response.set_status(400 if error.status == 422 else error.status)
    response.body = orjson.dumps({"error": error.detail})
    response.content_type = "application/json"
    return response


def json_response(document: object, status: int = 200) -> web.Response:
    """Return a document as JSON."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def http_middleware(
    registry: CollectorRegistry,
    traces: Traces,
    access_log: str,
    check_door: Callable[[web.Request], None] = lambda request: None,
) -> Middleware:
    """Return the middleware that all routes share; `access_log` is off, errors or all.

    `check_door` comes before everything else and raises for what must not be taken further.
    """
    total = Counter("http_requests", "HTTP requests", ("method", "route", "status"), registry=registry)
    seconds = Histogram(
        "http_request_duration_seconds", "Time to answer", ("route",), buckets=SECONDS, registry=registry
    )

    total_of, seconds_of = cache(total.labels), cache(seconds.labels)  # as many as there are routes and statuses
    keep_books = Bookkeeping(registry)

    def count(method: str, name: str, status: int, taken: float) -> None:
        # What a caller makes up must not become a label.
        total_of(method if method in _METHODS else "other", name, status).inc()
        seconds_of(name).observe(taken)

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        given = request.headers.get(REQUEST_ID_HEADER)
        known = given is not None and REQUEST_ID.fullmatch(given) is not None
        request_id = given if given is not None and known else os.urandom(16).hex()
        request[REQUEST_ID_KEY] = request_id
        route = request.match_info.route.resource
        name = route.canonical if route is not None else "unknown"
        traceparent = known_traceparent(request.headers.get("traceparent", ""))
        span = traces.begin(f"{request.method} {name}", traceparent) if name not in _QUIET else None
        if span is not None:
            traceparent = traceparent_of(span)
        request[TRACEPARENT_KEY] = traceparent
        try:
            check_door(request)
            if given is not None and not known:
                raise MalformedRequest(
                    f"{REQUEST_ID_HEADER} has 1 to 128 letters, digits, '.', '_', ':' or '-'", field=REQUEST_ID_HEADER
                )
            encoding = request.headers.get("Content-Encoding")
            if encoding is not None and encoding.lower() not in _ENCODINGS:
                raise UnsupportedEncoding(
                    f"Content-Encoding {encoding[:40]!a} is not read here: use one of {', '.join(_ENCODINGS)}",
                    field="Content-Encoding",
                )
            response = await _handled(handler, request, encoding)
        except ModelMeshError as error:
            response = problem_response(error) if not request.path.startswith("/v2") else _v2_response(error)
        except web.HTTPRequestEntityTooLarge as error:
            response = problem_response(RequestTooLarge(error.text))
        except web.HTTPException as error:
            response = _plain_problem(error)
        except asyncio.CancelledError:
            keep_books("metrics", count, request.method, name, CLIENT_LEFT, time.perf_counter() - started)
            if span is not None:
                keep_books("traces", _end_span, span, request_id, CLIENT_LEFT)
            raise
        except Exception:
            # The caller gets the id to ask about, never the traceback.
            log.exception("http.failed", request_id=request_id, path=request.path)
            response = problem_response(ModelMeshError(f"something went wrong here; the log has it under {request_id}"))
        taken = time.perf_counter() - started
        keep_books("metrics", count, request.method, name, response.status, taken)
        if span is not None:
            keep_books("traces", _end_span, span, request_id, response.status)
        if access_log != "off" and (response.status >= 400 or access_log == "all") and name not in _QUIET:
            keep_books(
                "access log",
                log.info,
                "http.request",
                request_id=request_id,
                trace_id=trace_id_of(traceparent),
                method=request.method,
                path=request.path.encode(errors="backslashreplace").decode(),
                status=response.status,
                ms=round(1000 * taken, 2),
            )
        if not response.prepared:
            response.headers[REQUEST_ID_HEADER] = request_id
        return response

    return answer


def _end_span(span: Span, request_id: str, status: int) -> None:
    span.set_attributes({"http.response.status_code": status, "modelmesh.request_id": request_id})
    if status >= 500:
        failed(span, str(status))
    span.end()


async def _handled(handler: Handler, request: web.Request, encoding: str | None) -> web.StreamResponse:
    """Return the handler's response. Raises MalformedRequest for a body that cannot be unpacked."""
    try:
        return await handler(request)
    except web.RequestPayloadError as error:
        reason = " ".join(str(error).split())[:200]
        if encoding is None or "content-encoding" not in reason.lower():
            raise MalformedRequest(f"the body cannot be read: {reason}") from None
        raise MalformedRequest(
            f"the body is not the {encoding[:40]} that Content-Encoding says", field="Content-Encoding"
        ) from None


def _plain_problem(error: web.HTTPException) -> web.Response:
    """Return aiohttp's own 404 and 405 in the form of all the others."""
    document = {
        "type": "about:blank", "title": error.reason, "status": error.status, "code": "http", "detail": error.reason
    }  # fmt: skip
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return web.Response(
        status=error.status, body=orjson.dumps(document), content_type="application/problem+json", headers=headers
    )
