"""The Open Inference Protocol (v2) over HTTP. Requests and responses are on the log in their original form."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from ... import __version__
from ...access.caller import caller
from ...schemas.errors import MalformedRequest
from ...schemas.records import v2_content_type, v2_header_bytes
from ...telemetry.http import json_response
from ..route import Route
from ..served_models import EXTENSIONS, ServedModels, check_served_name
from .documents import (
    IndexRequest,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    RepositoryIndex,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from .http_requests import read_deadline
from .routes import HEADERS, PredictRoutes

HEADER_LENGTH = "Inference-Header-Content-Length"
_INFER_ERRORS = (400, 404, 413, 500, 503, 504)  # the protocol has no 422
_INFER_HEADERS = (*HEADERS, HEADER_LENGTH)


class V2Routes:
    """The routes of the protocol. Metadata comes from the log; without a version in the path, the release chooses the version."""

    def __init__(self, predict: PredictRoutes, models: ServedModels) -> None:
        self._predict = predict
        self._models = models

    async def server(self, request: web.Request) -> web.Response:
        """Return the server's metadata."""
        return json_response({"name": "modelmesh", "version": __version__, "extensions": EXTENSIONS})

    async def live(self, request: web.Request) -> web.Response:
        """Report that the process is alive."""
        return json_response({"live": True})

    async def ready(self, request: web.Request) -> web.Response:
        """Report whether every release is ready."""
        ready = self._models.ready()
        return json_response({"ready": ready}, 200 if ready else 503)

    async def metadata(self, request: web.Request) -> web.Response:
        """Return a model's tensors."""
        return json_response(self._models.metadata(*_model_and_version(request)))

    async def model_ready(self, request: web.Request) -> web.Response:
        """Report whether a model, or one of its versions, is ready."""
        model, version = _model_and_version(request)
        ready = self._models.model_ready(model, version)
        return json_response({"name": model, "ready": ready}, 200 if ready else 503)

    async def infer(self, request: web.Request) -> web.Response:
        """Send the tensors unparsed; the worker parses them."""
        model, version = _model_and_version(request)
        check_served_name(model)
        given = request.headers.get(HEADER_LENGTH)
        if given is not None and (not given.isascii() or not given.isdigit() or len(given) > 12):
            raise MalformedRequest(f"{HEADER_LENGTH} must be a number of bytes", field=HEADER_LENGTH)
        deadline = read_deadline(request)
        content_type = v2_content_type(int(given) if given is not None else None)
        body = await self._predict.body_of(request)
        allowance = await self._predict.count_rows(model, body, content_type)
        reply = await self._predict.send(
            request, model, body, content_type=content_type, deadline=deadline, pinned_version=version
        )
        if not reply.ok:
            return _error(reply.status, orjson.loads(reply.body)["detail"])
        header_bytes = v2_header_bytes(reply.content_type)
        headers = allowance if header_bytes is None else {HEADER_LENGTH: str(header_bytes)} | allowance
        kind = "application/json" if header_bytes is None else "application/octet-stream"
        return web.Response(body=reply.body, content_type=kind, headers=headers)

    async def index(self, request: web.Request) -> web.Response:
        """Return the versions in all releases, and whether each is loaded."""
        options = await self._options(request)
        return json_response(self._models.index(caller.get(), ready=bool(options.get("ready"))))

    async def load(self, request: web.Request) -> web.Response:
        """Check that a model is loaded; the release itself triggers the loading."""
        self._models.load(request.match_info["model"])
        return json_response({})

    async def unload(self, request: web.Request) -> web.Response:
        """Refuse: the releases determine what is loaded."""
        self._models.unload(request.match_info["model"])
        return json_response({})

    routes = (
        Route("GET", "/v2", server, "Show the server's metadata (Open Inference Protocol)", scope="public", gives=ServerMetadata),
        Route("GET", "/v2/health/live", live, "Show that the process is alive", scope="public", gives=ServerLive),
        Route("GET", "/v2/health/ready", ready, "Show whether every release is ready; else 503", scope="public",
              gives=ServerReady),
        Route("GET", "/v2/models/{model}", metadata, "Show a model's tensors", scope="predict", gives=ModelMetadata,
              errors=(404,)),
        Route("GET", "/v2/models/{model}/ready", model_ready, "Show whether a model is ready; else 503", scope="predict",
              gives=ModelReady, errors=(404,)),
        Route("POST", "/v2/models/{model}/infer", infer, "Predict from tensors", scope="predict", repeat="safe",
              takes=InferenceRequest, gives=InferenceResponse, errors=_INFER_ERRORS, headers=_INFER_HEADERS),
        Route("GET", "/v2/models/{model}/versions/{version}", metadata, "Show a version's tensors", scope="predict",
              gives=ModelMetadata, errors=(404,)),
        Route("GET", "/v2/models/{model}/versions/{version}/ready", model_ready, "Show whether a version is ready; else 503",
              scope="predict", gives=ModelReady, errors=(404,)),
        Route("POST", "/v2/models/{model}/versions/{version}/infer", infer, "Predict from tensors with this version",
              scope="predict", repeat="safe", takes=InferenceRequest, gives=InferenceResponse, errors=_INFER_ERRORS,
              headers=_INFER_HEADERS),
        Route("POST", "/v2/repository/index", index, "List the versions in all releases", scope="predict",
              repeat="safe", takes=IndexRequest, gives=RepositoryIndex, errors=(400, 413)),
        Route("POST", "/v2/repository/models/{model}/load", load, "Show whether a model is loaded; else 503", scope="deploy",
              repeat="never", errors=(404, 503)),
        Route("POST", "/v2/repository/models/{model}/unload", unload, "Refused: the releases determine what is loaded",
              scope="deploy", repeat="never", errors=(400, 404)),
    )  # fmt: skip

    async def _options(self, request: web.Request) -> dict[str, Any]:
        body = await self._predict.body_of(request)
        try:
            document = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise MalformedRequest(f"the body is not valid JSON: {error}") from None
        return document if isinstance(document, dict) else {}


def _model_and_version(request: web.Request) -> tuple[str, str]:
    return request.match_info["model"], request.match_info.get("version", "")


def _error(status: int, detail: str) -> web.Response:
    return json_response({"error": detail}, 400 if status == 422 else status)
