"""The prediction routes: an HTTP request becomes a record on the log, and its reply record the HTTP response."""

from __future__ import annotations

import asyncio
import time
from functools import cache
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram

from ...access.caller import caller
from ...access.gatekeeper import Gatekeeper
from ...models.values.bodies import count_body_rows
from ...models.values.tensors import parse_body
from ...producers.client import PredictionClient
from ...schemas.errors import InvalidInput, ModelMeshError, RequestTooLarge
from ...schemas.records import JSON, PROBLEM_JSON, Reply
from ...schemas.settings.gateway import GatewaySettings
from ...telemetry.http import FOR_CLIENT_KEY, REQUEST_ID_KEY, SECONDS, TRACEPARENT_KEY, json_response
from ..route import Route
from ..served_models import ServedModels, check_served_name
from .documents import BatchPrediction, PredictBody, Prediction
from .http_requests import read_body, read_deadline

_ERRORS = (400, 404, 413, 422, 500, 503, 504)
# The request headers of a prediction.
HEADERS = ("X-Request-Id", "X-Routing-Key", "X-Timeout-Ms")


class PredictRoutes:
    """`POST /predict/{model}` and `POST /predict/{model}/batch`."""

    def __init__(
        self,
        settings: GatewaySettings,
        client: PredictionClient,
        registry: CollectorRegistry,
        gatekeeper: Gatekeeper,
        models: ServedModels,
    ) -> None:
        self._settings = settings
        self._client = client
        self._gatekeeper = gatekeeper
        self._models = models
        latency = Histogram(
            "prediction_latency",
            "Time from a request's arrival to its answer",
            ("model", "version"),
            unit="seconds",
            buckets=SECONDS,
            registry=registry,
        )
        self._latency_of = cache(latency.labels)

    async def predict(self, request: web.Request) -> web.Response:
        """Send the body unparsed; the worker parses it."""
        model, deadline = check_served_name(request.match_info["model"]), read_deadline(request)
        body = await self.body_of(request)
        allowance = await self.count_rows(model, body, JSON)
        return _response(await self.send(request, model, body, deadline=deadline), allowance)

    async def body_of(self, request: web.Request) -> bytes:
        """Return a request's body; its bytes count as in flight. From here on, a disconnect of the client cancels the request."""
        request[FOR_CLIENT_KEY] = True
        return await read_body(request, self._settings.max_body_bytes, self._client.quota)

    async def count_rows(self, model: str, body: bytes, content_type: str) -> dict[str, str]:
        """Count all rows of a body but the first against the caller's rate limit; return the RateLimit headers.

        The access middleware has counted the first. The body is parsed only for callers with a limit. Raises RateLimited.
        """
        who = caller.get()
        if who.limit is None:
            return {}
        rows = count_body_rows(body, content_type, self._models.signature(model))
        return await self._gatekeeper.count(who, rows - 1) if rows > 1 else {}

    async def send(
        self,
        request: web.Request,
        model: str,
        body: bytes,
        *,
        deadline: float | None,
        content_type: str = JSON,
        pinned_version: str = "",
    ) -> Reply:
        """Send a body for an HTTP request, and measure the time to its reply."""
        began = time.perf_counter()
        reply = await self._client.send(
            model,
            body,
            content_type=content_type,
            routing_key=request.headers.get("X-Routing-Key", ""),
            deadline=deadline,
            request_id=request[REQUEST_ID_KEY],
            traceparent=request[TRACEPARENT_KEY],
            pinned_version=pinned_version,
            caller=caller.get().name,
        )
        self.observe(reply, began)
        return reply

    async def predict_batch(self, request: web.Request) -> web.Response:
        """Send each row as its own request: a bad row fails alone, and the rows are spread over the workers."""
        model, deadline = check_served_name(request.match_info["model"]), read_deadline(request)
        rows = parse_body(await self.body_of(request))
        if not isinstance(rows, list) or not rows:
            raise InvalidInput("inputs must be a list of at least one row", field="inputs")
        if len(rows) > self._settings.max_batch_rows:
            raise RequestTooLarge(f"{len(rows)} rows: at most {self._settings.max_batch_rows} at once", field="inputs")
        # Before the rows are sent: each is a request, and the access middleware has counted the first.
        allowance = await self._gatekeeper.count(caller.get(), len(rows) - 1) if len(rows) > 1 else {}
        batch_id, caller_name = request[REQUEST_ID_KEY], caller.get().name
        # One batch must not use up the whole limit of requests in flight.
        in_flight = asyncio.Semaphore(max(1, self._settings.max_in_flight // 8))

        async def one(number: int, row: Any) -> dict[str, Any]:
            began = time.perf_counter()
            try:
                async with in_flight:
                    reply = await self._client.send(
                        model,
                        orjson.dumps({"inputs": row}),
                        routing_key=request.headers.get("X-Routing-Key", ""),
                        deadline=deadline,
                        request_id=row_id(batch_id, number),
                        priority="batch",
                        traceparent=request[TRACEPARENT_KEY],
                        caller=caller_name,
                    )
            except ModelMeshError as error:
                return {"error": error.problem()}
            self.observe(reply, began)
            document: dict[str, Any] = orjson.loads(reply.body)
            return document if reply.ok else {"error": document}

        answers = await asyncio.gather(*(one(number, row) for number, row in enumerate(rows)))
        failed = sum("error" in answer for answer in answers)
        # If every row failed, the response has the status of the first error.
        status = answers[0]["error"]["status"] if failed == len(answers) else 200
        response = json_response({"predictions": answers, "failed": failed}, status)
        response.headers.update(allowance)
        return response

    routes = (
        Route("POST", "/predict/{model}", predict, "Predict one row, or several as one request", scope="predict",
              repeat="safe", takes=PredictBody, gives=Prediction, errors=_ERRORS, headers=HEADERS),
        Route("POST", "/predict/{model}/batch", predict_batch, "Predict many rows, each as its own request", scope="predict",
              repeat="safe", takes=PredictBody, gives=BatchPrediction, errors=_ERRORS, headers=HEADERS),
    )  # fmt: skip

    def observe(self, reply: Reply, began: float) -> None:
        """Record the latency of a reply."""
        if reply.version:  # without a version no worker served it, and the model may not exist
            self._latency_of(reply.model, reply.version).observe(time.perf_counter() - began)


def row_id(batch_id: str, number: int) -> str:
    """Return the request id of a row of a batch: the batch's id (shortened with a digest if it is long) and the row's number."""
    name = f"{batch_id}.{number}"
    if len(name) <= 128:
        return name
    return f"{batch_id[:90]}-{blake2b(batch_id.encode(), digest_size=12).hexdigest()}.{number}"


def _response(reply: Reply, allowance: dict[str, str]) -> web.Response:
    headers = {"X-Model-Version": reply.version, "X-Model-Variant": reply.variant} | allowance
    if reply.cached:
        headers["X-Cache"] = "hit"
    if reply.batch_size:
        headers["X-Batch-Size"] = str(reply.batch_size)
    if not reply.ok and (retry_after := orjson.loads(reply.body).get("retry_after")) is not None:
        headers["Retry-After"] = str(max(1, round(retry_after)))
    return web.Response(
        status=reply.status, body=reply.body, content_type=JSON if reply.ok else PROBLEM_JSON, headers=headers
    )
