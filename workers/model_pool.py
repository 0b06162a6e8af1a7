"""Serves one model in a worker: consumes the model's topic and keeps the versions of its release loaded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import structlog
from aiokafka import ConsumerRecord

from ..broker.kafka.delivery import Delivery
from ..broker.kafka.topics import ensure_topics
from ..models.adapters.registry import adapter_for
from ..models.artifacts.authors import Signers
from ..models.artifacts.seals import SealChecker
from ..models.artifacts.store import fetch
from ..models.memory.budget import MemoryBudget
from ..models.proof.proof import Limits
from ..resilience.circuit_breaker import State
from ..runtime.chaos import Chaos
from ..runtime.replies import ReplyWriter
from ..schemas.payloads.chaos import Fault
from ..schemas.payloads.releases import Release, VersionSpec
from ..schemas.payloads.replicas import ModelLoad
from ..schemas.records import PredictionRequest
from ..schemas.settings.worker import WorkerSettings
from ..telemetry.bookkeeping import Bookkeeping
from ..telemetry.tracing import Traces
from .loading_plan import plan
from .metrics import WorkerMetrics
from .model_consumer import model_consumer
from .model_server import ModelServer, Server
from .observer import Observer
from .version_loads import VersionLoads
from .versions.call import VersionCall
from .versions.compiled_watch import CompiledWatch, WatchSchedule
from .versions.execution import LoadedModel
from .versions.original_model import OriginalModel
from .versions.runner import VersionRunner

log = structlog.get_logger(__name__)


class ModelPool:
    """Serves one model in this worker. `on_change` is called after changes that other replicas need to know immediately.

    Loaded versions are kept by identity: a version number can be reused for another artifact.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        model: str,
        reply_writer: ReplyWriter,
        metrics: WorkerMetrics,
        observer: Observer,
        *,
        chaos: Chaos,
        alone: asyncio.Lock,
        is_busy: Callable[[], bool],
        on_fetch: Callable[[], None],
        on_change: Callable[[], None],
        on_breaker: Callable[[str, str, State], None],
        traces: Traces,
        seals: SealChecker | None,
        signers: Signers,
        budget: MemoryBudget,
        keep_books: Bookkeeping,
        on_difference: Callable[[str, VersionSpec, str], None],
    ) -> None:
        self._seals = seals
        self._signers = signers
        self._budget = budget
        self._keep_books = keep_books
        self._on_difference = on_difference
        self._chaos = chaos
        self._settings = settings
        self._model = model
        self._reply_writer = reply_writer
        self._metrics = metrics
        self._on_change = on_change
        self._servers: dict[str, Server] = {}
        self._loads = VersionLoads(model, self._load, self._load_ended)
        self._parked: dict[str, list[tuple[PredictionRequest, Delivery]]] = {}
        self._requests = ModelServer(
            settings,
            model,
            self._servers,
            reply_writer,
            metrics,
            observer,
            chaos=chaos,
            is_busy=is_busy,
            not_loaded_message=self._not_loaded_message,
            on_breaker=lambda version, state: on_breaker(model, version, state),
            traces=traces,
            keep_books=keep_books,
        )
        self._unloading: asyncio.Task[None] | None = None
        self._topic = settings.topics().model(model)
        self._loop = model_consumer(
            settings, model, self._topic, self._handle, reply_writer, alone, on_change=on_change, on_fetch=on_fetch
        )

    async def run(self) -> None:
        """Serve until `stop`; the requests in hand are answered first."""
        try:
            await ensure_topics(self._settings, [self._topic])
            await self._loop.run()
        finally:
            self._loads.close()
            if self._unloading is not None:
                self._unloading.cancel()
            for server in self._servers.values():
                server.close()
                self._metrics.forget(self._model, server.spec.version)

    @property
    def joined(self) -> bool:
        """Whether the worker has joined the consumer group, so that it gets requests if there is a partition for it."""
        return self._loop.joined

    @property
    def primaries(self) -> int:
        """Number of requests in hand, without shadow copies."""
        return self._requests.primaries

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and its number of unfinished records."""
        return self._loop.lag()

    def stop(self) -> None:
        """Take no more requests; `run` returns when those in hand are answered. Waiting shadow copies are shed."""
        self._requests.stop()
        self._loop.stop()

    def describe(self) -> ModelLoad:
        """Return this model's part of the heartbeat."""
        servers = self._servers.values()
        return ModelLoad(
            partitions=self._loop.partitions,
            loaded=tuple(dict.fromkeys(server.spec.version for server in servers)),
            identities={identity: server.spec.version for identity, server in self._servers.items()},
            failed=dict(self._loads.failed),
            ages={
                identity: server.age
                for identity, server in self._servers.items()
                if server.age < self._settings.warm_up
            },
            breakers=self._requests.breaker_states(),
            queued=sum(server.queued for server in servers),
            in_service=sum(server.in_service for server in servers),
            answered=self._requests.answered,
            lag=int(sum(records for _, records in self._loop.lag())),
            batch_requests=round(max((server.batch_requests for server in servers), default=0.0), 1),
            service_ms=max((server.service_ms for server in servers), default=0.0),
            request_ms=max((server.request_ms for server in servers), default=0.0),
        )

    def update(self, release: Release) -> None:
        """Load the release's missing versions; unload the others after the grace time."""
        self._requests.release = release
        self._loads.start(release, self._servers)
        if self._unloading is not None:
            self._unloading.cancel()
        self._unloading = asyncio.create_task(self._unload_others(release))

    async def _load(self, spec: VersionSpec) -> None:
        loaded = await self._loaded(spec)
        self._servers[spec.identity] = self._server(spec, loaded)
        self._metrics.breaker(self._model, spec.version, "closed")
        log.info("version.loaded", model=self._model, version=spec.version, served_as=spec.served_as)

    def _load_ended(self, identity: str) -> None:
        self._on_change()
        for request, delivery in self._parked.pop(identity, []):
            self._submit(request, delivery)

    async def _loaded(self, spec: VersionSpec) -> LoadedModel:
        """Fetch and load. Raises ModelFailed, NotFound or Unavailable."""
        if self._seals is not None:
            self._seals.check(self._model, spec.version, spec.digest, spec.seal)
        limits = self._signers.limits_for(Limits.from_settings(self._settings), self._model, spec)
        path = await asyncio.to_thread(fetch, spec.artifact, spec.digest, self._cache())
        loaded = LoadedModel(
            spec,
            path,
            threads=self._settings.onnx_threads,
            slots=self._settings.inference_threads,
            limits=limits,
            budget=self._budget,
        )
        await loaded.load()
        loaded.fault = lambda: self._fault(spec.version)
        return loaded

    def _server(self, spec: VersionSpec, loaded: LoadedModel) -> Server:
        """Return the version's runner; that of a compiled form has a second runner for the original model."""
        make = partial(
            VersionRunner[VersionCall],
            on_result=self._requests.answer,
            on_batch=self._requests.on_batch,
            max_batch_bytes=self._settings.max_batch_bytes,
        )
        if spec.original is None:
            return make(spec, loaded)
        as_original = spec.as_original()
        original = OriginalModel(lambda: self._loaded(as_original))
        # With the version's identity, so that its answers count as the version's.
        counted_as = as_original.model_copy(update={"identity": spec.identity})
        server = make(spec, loaded, original=make(counted_as, original))
        now = asyncio.get_running_loop().time()
        schedule = WatchSchedule(self._settings.watch_share, self._settings.watch_interval, random.random, now)

        def differs(description: str) -> None:
            server.use_original()
            self._on_difference(self._model, spec, description)

        self._metrics.watched(self._model, spec.version)
        server.watch = CompiledWatch(
            original, schedule, adapter_for(spec.framework).tolerance, differs, self._keep_books
        )
        return server

    async def _unload_others(self, release: Release) -> None:
        """Unload surplus versions after the grace time, since requests routed by the previous release may still arrive."""
        await self._loads.settled()
        if plan(release, self._servers, ()).load:
            return  # a version is missing, so the router still uses the previous release
        await asyncio.sleep(self._settings.unload_grace)
        for identity in plan(release, self._servers, ()).surplus:
            while not self._servers[identity].idle:  # noqa: ASYNC110 - once a release, and nobody waits for it
                await asyncio.sleep(0.05)
            server = self._servers.pop(identity)
            server.close()
            self._requests.forget(identity)
            version = server.spec.version
            if all(other.spec.version != version for other in self._servers.values()):
                self._metrics.forget(self._model, version)
            log.info("version.unloaded", model=self._model, version=version, identity=identity)
        self._on_change()

    def _fault(self, version: str) -> Fault | None:
        where = {"model": self._model, "version": version}
        return self._chaos.find("error", **where) or self._chaos.find("latency", **where)

    def _cache(self) -> Path:
        return self._settings.data / "cache"

    def _handle(self, record: ConsumerRecord, delivery: Delivery) -> None:
        request = self._reply_writer.read_request(record, delivery)
        if request is not None:
            self._submit(request, delivery)

    def _submit(self, request: PredictionRequest, delivery: Delivery) -> None:
        identity = self._requests.identity_of(request)
        if self._loads.is_first(identity):
            self._parked.setdefault(identity, []).append((request, delivery))
        else:
            self._requests.submit(request, delivery)

    def _not_loaded_message(self, version: str) -> str:
        detail = f"version {version} of {self._model} is not loaded here"
        why = self._loads.failed.get(version)
        return f"{detail}: {why}" if why is not None else detail
