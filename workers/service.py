"""The worker role: follows the releases, serves each model in its own pool, and sends heartbeats."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from itertools import chain
from typing import Any
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry

from ..broker.kafka.connection import make_producer
from ..broker.kafka.outbox import Outbox
from ..broker.views.releases import ReleasesView
from ..models.artifacts.authors import Signers
from ..models.artifacts.seals import SealChecker
from ..models.memory.budget import MemoryBudget
from ..models.sandbox.process import refused_restrictions
from ..models.sandbox.report import report
from ..resilience.circuit_breaker import State
from ..runtime.chaos import Chaos
from ..runtime.event_publisher import EventPublisher
from ..runtime.heartbeats import Announcer
from ..runtime.lifecycle import Lifecycle
from ..runtime.replies import ReplyWriter
from ..runtime.role import Role
from ..schemas.payloads.observations import DIFFERENCE, Difference
from ..schemas.payloads.releases import Release, VersionSpec
from ..schemas.payloads.replicas import Heartbeat
from ..schemas.settings.worker import WorkerSettings
from ..telemetry.bookkeeping import Bookkeeping
from ..telemetry.scraped import add_lag, add_not_understood, add_scraped_number
from ..telemetry.tracing import Traces
from .metrics import WorkerMetrics
from .model_pool import ModelPool
from .observer import Observer

log = structlog.get_logger(__name__)


class Worker(Role):
    """One replica of the worker pool, for all models."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._seals = SealChecker(settings.seal_public_key) if settings.seal_public_key is not None else None
        self._signers = Signers(settings.signers)
        self._epoch = uuid4().hex
        self.registry = CollectorRegistry()
        self._metrics = WorkerMetrics(self.registry)
        self._producer = make_producer(settings)
        self._chaos = Chaos(settings)
        self._outbox = Outbox(self._producer, self._chaos.send_delay)
        self._reply_writer = ReplyWriter(settings, self._outbox, self._chaos)
        self._events = EventPublisher(settings, self._outbox)
        self._alone = asyncio.Lock()
        self._keep_books = Bookkeeping(self.registry)
        self._observer = Observer(settings, self._outbox, self._epoch, self._keep_books)
        self._announcer = Announcer(settings, self._outbox, self._describe)
        self._releases = ReleasesView(settings, None, self._on_release)
        self._pools: dict[str, ModelPool] = {}
        self._budget = MemoryBudget.from_settings(settings)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._traces = Traces.from_settings(settings, "worker")
        add_lag(self.registry, lambda: chain.from_iterable(pool.lag() for pool in self._pools.values()))
        add_not_understood(self.registry, self._releases.not_understood_values)
        add_scraped_number(
            self.registry,
            "counter",
            "dead_letters",
            "Records sent to dead-letters",
            lambda: self._reply_writer.dead_letter_count,
        )

    def health(self) -> dict[str, Any]:
        """Ready when all versions of the releases are loaded or failed to load, and requests can arrive."""
        models = {model: pool.describe() for model, pool in self._pools.items()}
        waiting = [
            f"{model} {version}"
            for model, release in self._releases.releases.items()
            for version, identity in release.identities.items()
            if identity not in models[model].identities and version not in models[model].failed
        ]
        joined = all(pool.joined for pool in self._pools.values())
        return {
            "ready": self._releases.ready.is_set() and joined and not waiting,
            "loading": waiting,
            "releases_not_understood": self._releases.not_understood,
            "models": {model: load.model_dump() for model, load in models.items()},
        }

    async def start(self, parts: Lifecycle) -> None:
        """Start serving. On stop, the requests in hand are finished first."""
        self._parts = parts
        parts.at_end("traces", self._traces.close)
        await parts.start("producer", self._producer.start(), self._producer.stop)
        parts.run("outbox", self._outbox.run())
        parts.at_end("outbox's last records", self._outbox.flushed)
        parts.run("observer", self._observer.run())
        parts.run("faults", self._chaos.run())
        parts.at_end("models", self._stop_models, stop_seconds=self._settings.drain_timeout + 2)
        parts.run("releases", self._releases.run())
        parts.at_end("farewell", self._announcer.leave)
        parts.run("heartbeats", self._announcer.run())
        self._reporting = asyncio.create_task(asyncio.to_thread(report, refused_restrictions))

    async def _stop_models(self) -> None:
        """Let all models finish their requests in hand, in parallel."""
        for task in self._leaving.values():
            task.cancel()
        for pool in self._pools.values():
            pool.stop()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._observer.flush()

    def _is_busy(self) -> bool:
        """Whether the worker has requests in hand; shadow copies wait meanwhile."""
        return any(pool.primaries for pool in self._pools.values())

    def _on_release(self, model: str, release: Release | None) -> None:
        self._observer.set_release(model, release)
        pool = self._pools.get(model)
        if release is None:
            if pool is not None and model not in self._leaving:
                self._leaving[model] = asyncio.create_task(self._leave(model, pool))
            return
        if model in self._leaving:
            return  # `_leave` calls this again when it is done
        if pool is None:
            pool = self._pools[model] = ModelPool(
                self._settings,
                model,
                self._reply_writer,
                self._metrics,
                self._observer,
                chaos=self._chaos,
                alone=self._alone,
                is_busy=self._is_busy,
                on_fetch=self._announcer.note_request,
                on_change=self._announcer.announce,
                on_breaker=self._breaker_changed,
                traces=self._traces,
                seals=self._seals,
                signers=self._signers,
                budget=self._budget,
                keep_books=self._keep_books,
                on_difference=self._compiled_differs,
            )
            task = self._running[model] = asyncio.create_task(pool.run())
            task.add_done_callback(partial(self._pool_ended, model))
        pool.update(release)

    def _compiled_differs(self, model: str, spec: VersionSpec, how: str) -> None:
        """Report a difference to the control plane, which makes all workers serve the original model."""
        log.error("version.differs", model=model, version=spec.version, digest=spec.digest, how=how)
        self._metrics.differs(model, spec.version)
        difference = Difference(
            model=model, version=spec.version, digest=spec.digest, how=how, worker=self._settings.name
        )
        topic = self._settings.topics().observations.name
        self._outbox.send(topic, difference.model_dump_json().encode(), key=model, headers=[DIFFERENCE])

    async def _leave(self, model: str, pool: ModelPool) -> None:
        """Stop serving a removed model, once routers know of it and the requests in hand are answered."""
        await asyncio.sleep(2 * self._settings.replica_timeout)
        pool.stop()
        await asyncio.wait([self._running[model]])  # unlike gather, a cancellation does not cancel the pool
        for table in (self._pools, self._running, self._leaving):
            table.pop(model, None)
        self._announcer.announce()
        if (release := self._releases.releases.get(model)) is not None:
            self._on_release(model, release)

    def _breaker_changed(self, model: str, version: str, state: State) -> None:
        self._metrics.breaker(model, version, state)
        replica = self._settings.name
        self._events.breaker(state, model, f"{model} {version} on {replica}", version=version, replica=replica)
        asyncio.get_running_loop().call_soon(self._announcer.announce)

    def _pool_ended(self, model: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._parts.fail(f"model {model}", error)

    def _describe(self) -> Heartbeat:
        return Heartbeat(
            replica=self._settings.name,
            role="worker",
            epoch=self._epoch,
            at=time.time(),
            pid=os.getpid(),
            chaos=self._settings.chaos,
            models={model: pool.describe() for model, pool in self._pools.items()},
        )
