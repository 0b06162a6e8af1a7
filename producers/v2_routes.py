"""The Open Inference Protocol (v2) over HTTP: what it asks travels on the log as it came, and so does the answer."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from .. import __version__
from ..broker.heartbeats import ReplicaView
from ..broker.releases_view import ReleasesView
from ..models.inference_protocol import tensor_document
from ..schemas.errors import MalformedRequest, ModelNotFound, NoWorker, VersionNotFound
from ..schemas.names import MODEL_NAME
from ..schemas.records import v2_content_type, v2_header_bytes
from ..schemas.releases import Release
from ..telemetry.http import json_response
from .http_requests import read_body, read_deadline
from .predict_routes import PredictRoutes

HEADER_LENGTH = "Inference-Header-Content-Length"


class V2Routes:
    """Metadata and readiness come from the log; a path without a version goes where the release says."""

    def __init__(self, predict: PredictRoutes, releases: ReleasesView, replicas: ReplicaView) -> None:
        self._predict = predict
        self._releases = releases
        self._replicas = replicas

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        router = app.router
        router.add_get("/v2", self.server)
        router.add_get("/v2/health/live", self.live)
        router.add_get("/v2/health/ready", self.ready)
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            router.add_get(path, self.metadata)
            router.add_get(f"{path}/ready", self.model_ready)
            router.add_post(f"{path}/infer", self.infer)
        router.add_post("/v2/repository/index", self.index)
        router.add_post("/v2/repository/models/{model}/load", self.load)
        router.add_post("/v2/repository/models/{model}/unload", self.unload)

    async def server(self, request: web.Request) -> web.Response:
        """Say who this is."""
        return json_response(
            {"name": "modelmesh", "version": __version__, "extensions": ["binary_tensor_data", "model_repository"]}
        )

    async def live(self, request: web.Request) -> web.Response:
        """Say that the process is alive."""
        return json_response({"live": True})

    async def ready(self, request: web.Request) -> web.Response:
        """Say whether every release can be used."""
        ready = all(self._usable(release) for release in self._releases.releases.values())
        return json_response({"ready": ready}, 200 if ready else 503)

    async def metadata(self, request: web.Request) -> web.Response:
        """Return a model's tensors."""
        release, version = self._named(request)
        spec = release.versions[version]
        return json_response(
            {
                "name": release.model,
                "versions": list(release.versions),
                "platform": f"{spec.framework}_{spec.served_as}"
                if spec.framework != spec.served_as
                else spec.framework,
                "inputs": [tensor_document(tensor) for tensor in spec.signature.inputs],
                "outputs": [tensor_document(tensor) for tensor in spec.signature.outputs],
            }
        )

    async def model_ready(self, request: web.Request) -> web.Response:
        """Say whether a model, or a version of it, can be asked."""
        release, version = self._named(request)
        pinned = "version" in request.match_info
        ready = self._replicas.serves(release.model, version) if pinned else self._usable(release)
        return json_response({"name": release.model, "ready": ready}, 200 if ready else 503)

    async def infer(self, request: web.Request) -> web.Response:
        """Pass the tensors on unopened; the worker reads them."""
        model = self._model(request)
        given = request.headers.get(HEADER_LENGTH)
        if given is not None and (not given.isascii() or not given.isdigit() or len(given) > 12):
            raise MalformedRequest(f"{HEADER_LENGTH} must be a number of bytes", field=HEADER_LENGTH)
        reply = await self._predict.send(
            request,
            model,
            await read_body(request, self._predict.settings.max_body_bytes),
            content_type=v2_content_type(int(given) if given is not None else None),
            deadline=read_deadline(request),
            pin=request.match_info.get("version", ""),
        )
        if not reply.ok:
            return _error(reply.status, orjson.loads(reply.body)["detail"])
        header_bytes = v2_header_bytes(reply.content_type)
        headers = {} if header_bytes is None else {HEADER_LENGTH: str(header_bytes)}
        kind = "application/json" if header_bytes is None else "application/octet-stream"
        return web.Response(body=reply.body, content_type=kind, headers=headers)

    async def index(self, request: web.Request) -> web.Response:
        """Return the versions that releases name, and whether each is loaded."""
        wish = await self._wish(request)
        found = []
        for name, release in sorted(self._releases.releases.items()):
            for version in release.versions:
                ready = self._replicas.serves(name, version)
                if ready or not wish.get("ready"):
                    state, reason = ("READY", "") if ready else ("UNAVAILABLE", "no worker has it loaded")
                    found.append({"name": name, "version": version, "state": state, "reason": reason})
        return json_response(found)

    async def load(self, request: web.Request) -> web.Response:
        """Answer for a model that has a release: its workers have it loaded, or are about to."""
        release, _ = self._named(request)
        if not self._usable(release):
            raise NoWorker(f"{release.model} is deployed, and no worker has it loaded yet")
        return json_response({})

    async def unload(self, request: web.Request) -> web.Response:
        """Refuse: what is loaded follows from the releases."""
        self._named(request)
        raise MalformedRequest(
            "models are loaded and unloaded by their releases here: deploy another version (POST /deployments)",
            field="model",
        )

    async def _wish(self, request: web.Request) -> dict[str, Any]:
        body = await read_body(request, self._predict.settings.max_body_bytes)
        try:
            document = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise MalformedRequest(f"the body is not valid JSON: {error}") from None
        return document if isinstance(document, dict) else {}

    def _usable(self, release: Release) -> bool:
        return self._replicas.serves(release.model, release.stable.version)

    def _model(self, request: web.Request) -> str:
        model = request.match_info["model"]
        if not MODEL_NAME.fullmatch(model):
            raise ModelNotFound(f"there is no model named {model[:80]!r}", field="model")
        return model

    def _named(self, request: web.Request) -> tuple[Release, str]:
        model = self._model(request)
        release = self._releases.releases.get(model)
        if release is None:
            raise ModelNotFound(f"there is no model named {model!r} with a release", field="model")
        version = request.match_info.get("version", release.stable.version)
        if version not in release.versions:
            raise VersionNotFound(
                f"version {version[:40]!r} is not part of the release of {model}: {', '.join(release.versions)}",
                field="version",
            )
        return release, version


def _error(status: int, detail: str) -> web.Response:
    return json_response({"error": detail}, 400 if status == 422 else status)
