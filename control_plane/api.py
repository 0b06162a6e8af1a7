"""The HTTP API of the control plane: models, versions, deployments."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import orjson
import structlog
from aiohttp import web
from sqlalchemy.exc import InterfaceError, OperationalError

from ..broker.heartbeats import ReplicaView
from ..broker.releases_view import ReleasesView
from ..broker.topics import ensure_topics
from ..models.artifact_store import digest_of
from ..models.proof import prove_in_fresh_process
from ..schemas.commands import Event
from ..schemas.errors import InvalidInput, MalformedRequest, Unavailable, VersionInUse
from ..schemas.names import check_model_name
from ..schemas.releases import Release, VersionSpec
from ..schemas.settings import Settings
from ..telemetry.http import json_response
from .api_documents import (
    Deployed,
    DeploymentDocument,
    DeploymentRequest,
    HistoryPage,
    ModelPage,
    Registered,
    model_document,
    version_document,
)
from .command_client import CommandClient
from .database import DeploymentRow, VersionRow
from .registration import Registration
from .registry import Registry, spec_of
from .upload import parse, read_registration

log = structlog.get_logger(__name__)
Route = Callable[["ControlRoutes", web.Request], Awaitable[web.Response]]


def needs_database(route: Route) -> Route:
    """Say clearly that the database is away; predictions do not need it."""

    @wraps(route)
    async def guarded(self: ControlRoutes, request: web.Request) -> web.Response:
        try:
            return await route(self, request)
        except (OperationalError, InterfaceError, OSError) as error:
            log.warning("database.unavailable", error=str(error)[:300])
            raise Unavailable("the database does not answer or has no tables yet; predictions go on") from error

    return guarded


class ControlRoutes:
    """Handlers. Reads come from the registry and from the releases on the log; changes go by commands."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        commands: CommandClient,
        releases: ReleasesView,
        replicas: ReplicaView,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._commands = commands
        self._releases = releases
        self._replicas = replicas

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/models", self.register)
        app.router.add_get("/models", self.list_models)
        app.router.add_get("/models/{name}", self.get_model)
        app.router.add_get("/models/{name}/versions", self.list_versions)
        app.router.add_get("/models/{name}/versions/{version}", self.get_version)
        app.router.add_delete("/models/{name}/versions/{version}", self.delete_version)
        app.router.add_post("/deployments", self.deploy)
        app.router.add_get("/deployments", self.list_deployments)
        app.router.add_get("/deployments/history", self.history)

    @needs_database
    async def register(self, request: web.Request) -> web.Response:
        """Prove a model and register it; the first version of a name goes live."""
        self._settings.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._settings.data, prefix="upload-") as folder:
            registration, source = await read_registration(request, Path(folder), self._settings.max_artifact_bytes)
            await self._registry.check_parent(registration)
            if registration.version:
                digest = await asyncio.to_thread(digest_of, source)
                known = await self._registry.existing(registration.name, registration.version, digest)
                if known is not None:
                    return self._registered(registration, known, None, None, status=200)
            compiled = Path(folder) / "compiled.onnx"
            proof = await prove_in_fresh_process(
                source,
                registration.framework,
                registration.signature,
                registration.sample,
                registration.compile,
                compiled,
                timeout=self._settings.proof_timeout,
            )
            row, first = await self._registry.add(registration, proof, source, compiled)
        log.info("model.registered", model=registration.name, version=row.version, served_as=row.served_as)
        if not first:
            return self._registered(registration, row, None, None, status=201)
        try:
            event = await self._deploy(registration.name, row, None, registration.author, "first version")
        except Unavailable as error:
            return self._registered(registration, row, None, f"not live yet: {error.detail}", status=201)
        return self._registered(registration, row, event, None, status=201)

    @needs_database
    async def list_models(self, request: web.Request) -> web.Response:
        """Return one page of models."""
        page, per_page = _paging(request)
        rows, total = await self._registry.models(
            page=page, per_page=per_page, framework=request.query.get("framework")
        )
        documents = [model_document(row, self._live_version(row.name)) for row in rows]
        return _answer(ModelPage(models=documents, page=page, per_page=per_page, total=total))

    @needs_database
    async def get_model(self, request: web.Request) -> web.Response:
        """Return one model."""
        row = await self._registry.model(request.match_info["name"])
        return _answer(model_document(row, self._live_version(row.name)))

    @needs_database
    async def list_versions(self, request: web.Request) -> web.Response:
        """Return a model's versions, oldest first."""
        row = await self._registry.model(request.match_info["name"])
        live = self._live_versions(row.name)
        versions = [version_document(version, live).model_dump(mode="json") for version in row.versions]
        return json_response({"name": row.name, "versions": versions})

    @needs_database
    async def get_version(self, request: web.Request) -> web.Response:
        """Return one version."""
        name = request.match_info["name"]
        row = await self._registry.version(name, request.match_info["version"])
        return _answer(version_document(row, self._live_versions(name)))

    @needs_database
    async def delete_version(self, request: web.Request) -> web.Response:
        """Forget a version that no release uses."""
        name, version = request.match_info["name"], request.match_info["version"]
        if version in self._live_versions(name):
            raise VersionInUse(
                f"{name} {version} is part of the release: deploy another version first", field="version"
            )
        await self._registry.delete_version(name, version)
        return web.Response(status=204)

    @needs_database
    async def deploy(self, request: web.Request) -> web.Response:
        """Send all requests to one version."""
        wish: DeploymentRequest = parse(DeploymentRequest, await _json(request))
        if wish.strategy != "full":
            raise InvalidInput(f"strategy {wish.strategy} is not available here: use full", field="strategy")
        check_model_name(wish.model)
        row = await self._registry.version(wish.model, wish.version)
        event = await self._deploy(wish.model, row, wish.generation, wish.actor, wish.reason)
        release = self._releases.releases.get(wish.model)
        document = self._deployment(release) if release else None
        return _answer(
            Deployed(event=event, deployment=document, ready=self._replicas.serves(wish.model, wish.version)), 201
        )

    async def list_deployments(self, request: web.Request) -> web.Response:
        """Return every model's release, as the log has it."""
        documents = [
            self._deployment(release).model_dump(mode="json")
            for _, release in sorted(self._releases.releases.items())
            if request.query.get("model") in (None, release.model)
        ]
        return json_response({"deployments": documents})

    @needs_database
    async def history(self, request: web.Request) -> web.Response:
        """Return what happened to the releases, newest first."""
        page, per_page = _paging(request)
        rows, total = await self._registry.history(request.query.get("model"), page=page, per_page=per_page)
        return _answer(HistoryPage(events=list(map(_event, rows)), page=page, per_page=per_page, total=total))

    async def _deploy(self, model: str, row: VersionRow, generation: int | None, actor: str, reason: str) -> Event:
        spec = spec_of(row)
        # The topic first: whoever hears of the release may use it at once.
        await ensure_topics(self._settings, [self._settings.topics().model(model)])
        event = await self._commands.deploy(model, spec, based_on=generation, actor=actor, reason=reason)
        await self._wait_until_loaded(model, spec, event.generation)
        return event

    async def _wait_until_loaded(self, model: str, spec: VersionSpec, generation: int) -> None:
        """Return when a worker has it loaded and our view has the release, or after `load_timeout`."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._settings.load_timeout
        while loop.time() < give_up:
            release = self._releases.releases.get(model)
            if release and release.generation >= generation and self._replicas.serves(model, spec.version):
                return
            if any(spec.version in beat.models[model].failed for beat in self._replicas.live() if model in beat.models):
                return
            await self._replicas.changed(timeout=0.5)

    def _live_version(self, model: str) -> str | None:
        release = self._releases.releases.get(model)
        return release.stable.version if release else None

    def _live_versions(self, model: str) -> set[str]:
        release = self._releases.releases.get(model)
        return set(release.versions) if release else set()

    def _deployment(self, release: Release) -> DeploymentDocument:
        return DeploymentDocument(
            model=release.model,
            generation=release.generation,
            strategy=release.strategy,
            version=release.stable.version,
            variants=[variant.model_dump() for variant in release.variants],
            updated_at=release.updated_at,
            actor=release.actor,
            reason=release.reason,
            ready=all(self._replicas.serves(release.model, version) for version in release.versions),
        )

    def _registered(
        self, registration: Registration, row: VersionRow, event: Event | None, warning: str | None, *, status: int
    ) -> web.Response:
        document = Registered(
            name=registration.name,
            version=version_document(row, self._live_versions(registration.name)),
            deployment=event,
            ready=self._replicas.serves(registration.name, row.version),
            warning=warning,
        )
        return _answer(document, status)


def _answer(document: Any, status: int = 200) -> web.Response:
    return json_response(document.model_dump(mode="json"), status)


async def _json(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not valid JSON: {error}") from None


def _paging(request: web.Request) -> tuple[int, int]:
    """Return page and per_page. Raises InvalidInput."""
    found = []
    for name, default, most in (("page", 1, 1_000_000), ("per_page", 50, 500)):
        text = request.query.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
            raise InvalidInput(f"{name} must be a whole number from 1 to {most}", field=name)
        found.append(int(text))
    return found[0], found[1]


def _event(row: DeploymentRow) -> Event:
    return Event(
        event_id=row.event_id,
        kind=row.kind,  # type: ignore[arg-type]
        model=row.model,
        at=row.at.timestamp(),
        generation=row.generation,
        actor=row.actor,
        summary=row.summary,
        data=row.data,
        problem=row.problem,
    )
