"""The HTTP API for models and versions."""

from __future__ import annotations

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import structlog
from aiohttp import web

from ...access.caller import caller
from ...broker.views.releases import ReleasesView
from ...broker.views.replicas import ReplicaView
from ...models.artifacts.authors import Signers
from ...models.artifacts.store import digest_of, fetch
from ...models.proof.proof import Limits, prove_in_fresh_process
from ...registry.registration import Registration
from ...registry.registry import Registry
from ...registry.storage.database import VersionRow
from ...registry.version_specs import spec_of
from ...runtime.event_publisher import EventPublisher
from ...schemas.documents.models import DeletedModel, ModelDocument, ModelPage, Registered, VersionDocument, VersionList
from ...schemas.documents.releases import EventDocument
from ...schemas.errors import InvalidInput, RegistrationRefused, Unavailable, VersionInUse
from ...schemas.payloads.commands import Deploy
from ...schemas.payloads.event_data import ModelDeletedData, RegisteredData
from ...schemas.payloads.events import ModelDeleted, ModelRegistered
from ...schemas.payloads.read_events import ReadEvent
from ...schemas.settings.gateway import GatewaySettings
from ...telemetry.http import json_response
from ..deployer import Deployer
from ..model_removal import ModelRemoval
from ..route import Route
from .registration_limiter import ProofSlot, RegistrationLimiter
from .route_tools import PAGING, answer, paging
from .row_documents import model_document, version_document
from .upload import read_registration

# Threads that fetch registered files from the store.
DOWNLOAD_THREADS = 4
log = structlog.get_logger(__name__)


class ModelRoutes:
    """Models and their versions. Which versions are live comes from the releases on the log."""

    def __init__(
        self,
        settings: GatewaySettings,
        registry: Registry,
        deployer: Deployer,
        releases: ReleasesView,
        replicas: ReplicaView,
        events: EventPublisher,
    ) -> None:
        self._removal = ModelRemoval(settings, registry, deployer, releases, replicas)
        self._settings = settings
        self._limiter = RegistrationLimiter(
            settings.registrations_per_key, settings.proofs_at_once, settings.proof_timeout
        )
        # A separate pool: a slow store must not occupy the threads of the default one.
        self._downloads = ThreadPoolExecutor(DOWNLOAD_THREADS, "download")
        self._signers = Signers(settings.signers)
        self._registry = registry
        self._deployer = deployer
        self._releases = releases
        self._replicas = replicas
        self._events = events

    async def register(self, request: web.Request) -> web.Response:
        """Prove and register a model; the first version of a name goes live."""
        async with self._limiter.slot(caller.get()) as proof_slot:
            return await self._register(request, proof_slot)

    async def _register(self, request: web.Request, proof_slot: ProofSlot) -> web.Response:
        self._settings.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._settings.data, prefix="upload-") as folder:
            registration, source = await read_registration(request, Path(folder), self._settings.max_artifact_bytes)
            who = caller.get()
            who.check_model(registration.name)
            registration = registration.model_copy(update={"author": who.actor(registration.author)})
            await self._registry.check_parent(registration)
            limits = Limits.from_settings(self._settings)
            if registration.version or registration.author_signature:
                digest = await asyncio.to_thread(digest_of, source)
            if registration.author_signature:
                self._signers.check(registration.name, digest, registration.author_signature)
                limits = replace(limits, allow_pickles=True)
            if registration.version:
                known = await self._registry.existing(registration.name, registration.version, digest)
                if known is not None:
                    return self._registered(registration, known, None, None, status=200)
            compiled = Path(folder) / "compiled.onnx"
            async with proof_slot():
                proof = await prove_in_fresh_process(
                    source,
                    registration.framework,
                    registration.signature,
                    registration.sample,
                    registration.compile,
                    compiled,
                    registration.reference,
                    limits=limits,
                    timeout=self._settings.proof_timeout,
                )
            if registration.cache_ttl_seconds and not proof.deterministic:
                raise RegistrationRefused(
                    "the model is not deterministic, so its answers cannot be cached: leave cache_ttl_seconds at 0",
                    field="cache_ttl_seconds",
                )
            row, first = await self._registry.add(registration, proof, source, compiled)
        self._publish_registered(registration, row, who.source)
        if not first:
            return self._registered(registration, row, None, None, status=201)
        try:
            fields = await self._deployer.command_fields(
                registration.name, actor=registration.author, reason="first version"
            )
            event = await self._deployer.execute(Deploy(**fields, version=spec_of(row)))
        except Unavailable as error:
            return self._registered(registration, row, None, f"not live yet: {error.detail}", status=201)
        warning = self._deployer.not_ready_reason(registration.name, spec_of(row))
        return self._registered(registration, row, event, warning, status=201)

    def _publish_registered(self, registration: Registration, row: VersionRow, source: str) -> None:
        log.info("model.registered", model=registration.name, version=row.version, served_as=row.served_as)
        self._events.publish(
            ModelRegistered,
            RegisteredData(
                source=source,
                version=row.version,
                digest=row.source_digest,
                artifact_digest=row.artifact_digest,
            ),
            model=registration.name,
            summary=f"{registration.name} {row.version} was registered",
            actor=registration.author,
        )

    async def list_models(self, request: web.Request) -> web.Response:
        """Return one page of models."""
        page, per_page = paging(request)
        rows, total = await self._registry.models(
            caller.get().models_to_list(None), page=page, per_page=per_page, framework=request.query.get("framework")
        )
        documents = [model_document(row, self._live_version(row.name)) for row in rows]
        return answer(ModelPage(models=documents, page=page, per_page=per_page, total=total))

    async def get_model(self, request: web.Request) -> web.Response:
        """Return one model."""
        row = await self._registry.model(request.match_info["name"])
        return answer(model_document(row, self._live_version(row.name)))

    async def list_versions(self, request: web.Request) -> web.Response:
        """Return a model's versions, oldest first."""
        row = await self._registry.model(request.match_info["name"])
        live = self._live_versions(row.name)
        versions = [version_document(version, live).model_dump(mode="json") for version in row.versions]
        return json_response({"name": row.name, "versions": versions})

    async def get_version(self, request: web.Request) -> web.Response:
        """Return one version."""
        name = request.match_info["name"]
        row = await self._registry.version(name, request.match_info["version"])
        return answer(version_document(row, self._live_versions(name)))

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Return the file as it was registered; its name is its SHA-256."""
        row = await self._registry.version(request.match_info["name"], request.match_info["version"])
        path = await asyncio.get_running_loop().run_in_executor(
            self._downloads, fetch, row.source_url, row.source_digest, self._settings.data / "cache"
        )
        headers = {
            "Content-Disposition": f'attachment; filename="{row.source_digest}"',
            "ETag": f'"{row.source_digest}"',
        }
        return web.FileResponse(path, headers=headers)

    async def delete_version(self, request: web.Request) -> web.Response:
        """Delete a version that is not part of a release."""
        name, version = request.match_info["name"], request.match_info["version"]
        if version in self._live_versions(name):
            raise VersionInUse(
                f"{name} {version} is part of the release: deploy another version first", field="version"
            )
        row = await self._registry.version(name, version)
        await self._registry.delete_version(name, version)
        data = ModelDeletedData(source=caller.get().source, version=version, digest=row.source_digest)
        self._publish_deleted(name, f"{name} {version} was deleted", data)
        return web.Response(status=204)

    async def delete_model(self, request: web.Request) -> web.Response:
        """Delete a model, live or not, with everything it has; `confirm` must repeat its name."""
        name = request.match_info["name"]
        if request.query.get("confirm") != name:
            raise InvalidInput(
                f"this deletes {name[:80]!r} with its release and all its versions: to confirm, repeat its name as "
                f"?confirm={name[:80]}",
                field="confirm",
            )
        versions = await self._removal.remove(name)
        count = f"{len(versions)} version{'s' if len(versions) != 1 else ''}"
        data = ModelDeletedData(source=caller.get().source, versions=versions)
        self._publish_deleted(name, f"{name} was deleted with {count}", data)
        log.info("model.deleted", model=name, versions=len(versions))
        return answer(DeletedModel(name=name, versions=versions))

    routes = (
        Route("POST", "/models", register, "Register a version (multipart, the file is 'artifact')", scope="deploy",
              repeat="with_key", takes=Registration, gives=Registered, status=201, errors=(400, 409, 413, 422), database=True),
        Route("GET", "/models", list_models, "List the models", scope="predict", gives=ModelPage, errors=(422,),
              query=(*PAGING, "framework"), database=True),
        Route("GET", "/models/{name}", get_model, "Show a model", scope="predict", gives=ModelDocument, errors=(404,),
              database=True),
        Route("GET", "/models/{name}/versions", list_versions, "List a model's versions", scope="predict", gives=VersionList,
              errors=(404,), database=True),
        Route("GET", "/models/{name}/versions/{version}", get_version, "Show a version", scope="predict",
              gives=VersionDocument, errors=(404,), database=True),
        Route("GET", "/models/{name}/versions/{version}/artifact", download, "Download the file as it was registered",
              scope="deploy", errors=(404,), database=True),
        Route("DELETE", "/models/{name}/versions/{version}", delete_version, "Delete a version that is not in use",
              scope="deploy", repeat="never", status=204, errors=(404, 409), database=True),
        Route("DELETE", "/models/{name}", delete_model, "Delete a model with its release and versions; confirm repeats its name",
              scope="deploy", repeat="never", gives=DeletedModel, errors=(404, 422), query=("confirm",), database=True),
    )  # fmt: skip

    def _publish_deleted(self, name: str, summary: str, data: ModelDeletedData) -> None:
        self._events.publish(ModelDeleted, data, model=name, summary=summary, actor=caller.get().actor(""))

    def _live_version(self, model: str) -> str | None:
        release = self._releases.releases.get(model)
        return release.stable.version if release else None

    def _live_versions(self, model: str) -> set[str]:
        release = self._releases.releases.get(model)
        return set(release.versions) if release else set()

    def _registered(
        self, registration: Registration, row: VersionRow, event: ReadEvent | None, warning: str | None, *, status: int
    ) -> web.Response:
        document = Registered(
            name=registration.name,
            version=version_document(row, self._live_versions(registration.name)),
            deployment=EventDocument.of(event) if event is not None else None,
            ready=self._replicas.serves(registration.name, spec_of(row)),
            warning=warning,
        )
        return answer(document, status)
