"""What every HTTP answer has: a request id, errors as problem documents, and a place in the metrics."""

from __future__ import annotations

import time
from uuid import uuid4

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Histogram

from ..schemas.errors import MalformedRequest, ModelMeshError, RequestTooLarge
from ..schemas.names import REQUEST_ID

log = structlog.get_logger(__name__)
REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID_KEY: web.RequestKey[str] = web.RequestKey("request_id", str)

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def problem_response(error: ModelMeshError) -> web.Response:
    """Return an error as application/problem+json (RFC 9457), with Retry-After where trying again makes sense."""
    headers = {"Retry-After": f"{max(1, round(error.retry_after))}"} if error.retry_after is not None else {}
    return web.Response(
        status=error.status,
        body=orjson.dumps(error.problem()),
        content_type="application/problem+json",
        headers=headers,
    )


def json_response(document: object, status: int = 200) -> web.Response:
    """Return a document as JSON."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def http_middleware(registry: CollectorRegistry) -> Middleware:
    """Return the middleware that all routes share."""
    total = Counter("http_requests", "HTTP requests", ("method", "route", "status"), registry=registry)
    seconds = Histogram(
        "http_request_duration_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=registry
    )

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        given = request.headers.get(REQUEST_ID_HEADER)
        request_id = given or uuid4().hex
        request[REQUEST_ID_KEY] = request_id
        try:
            if given is not None and not REQUEST_ID.fullmatch(given):
                request_id = uuid4().hex
                raise MalformedRequest(
                    f"{REQUEST_ID_HEADER} has 1 to 128 letters, digits, '.', '_', ':' or '-'", field=REQUEST_ID_HEADER
                )
            response = await handler(request)
        except ModelMeshError as error:
            response = problem_response(error)
        except web.HTTPRequestEntityTooLarge as error:
            response = problem_response(RequestTooLarge(error.text))
        except web.HTTPException as error:
            response = _plain_problem(error)
        except Exception:
            # The caller gets the id to ask about, never the traceback.
            log.exception("http.failed", request_id=request_id, path=request.path)
            response = problem_response(ModelMeshError(f"something went wrong here; the log has it under {request_id}"))
        route = request.match_info.route.resource
        name = route.canonical if route is not None else "unknown"
        total.labels(request.method, name, response.status).inc()
        seconds.labels(name).observe(time.perf_counter() - started)
        if not response.prepared:
            response.headers[REQUEST_ID_HEADER] = request_id
        return response

    return answer


def _plain_problem(error: web.HTTPException) -> web.Response:
    """Return aiohttp's own 404 and 405 in the form of all the others."""
    document = {
        "type": "about:blank", "title": error.reason, "status": error.status, "code": "http", "detail": error.reason
    }  # fmt: skip
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return web.Response(
        status=error.status, body=orjson.dumps(document), content_type="application/problem+json", headers=headers
    )
