"""The gateway role: the prediction routes and the management API in one aiohttp application."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from ..access.cors import add_cors_headers, cors_middlewares
from ..access.gatekeeper import Gatekeeper
from ..access.middleware import access_middleware
from ..access.request_guard import RequestGuard
from ..access.tls import tls_context
from ..broker.kafka.connection import make_producer
from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.outbox import Outbox
from ..broker.views.keys import KeysView
from ..broker.views.releases import ReleasesView
from ..broker.views.replicas import ReplicaView
from ..broker.views.statistics import StatisticsView
from ..models.artifacts.seals import Sealer
from ..models.artifacts.store import ArtifactStore
from ..models.sandbox.process import prepare
from ..models.sandbox.report import report
from ..producers.client import PredictionClient
from ..recorder.inference_log import InferenceLog
from ..registry.registry import Registry
from ..registry.storage.database import make_engine
from ..replay.page import page
from ..runtime.event_publisher import EventPublisher
from ..runtime.lifecycle import Lifecycle
from ..runtime.role import Role
from ..schemas.errors import SetupError
from ..schemas.settings.gateway import GatewaySettings
from ..telemetry.http import http_middleware
from ..telemetry.scraped import add_scraped_number
from ..telemetry.timely_site import TimelySite
from ..telemetry.tracing import Traces
from .api.canary_overrides import CanaryOverrideRoutes
from .api.counterfactual import CounterfactualRoutes
from .api.dead_letters import DeadLetterRoutes
from .api.inference_log import InferenceRoutes
from .api.keys import KeyRoutes
from .api.labels import LabelRoutes
from .api.models import ModelRoutes
from .api.monitoring import MonitoringRoutes
from .api.releases import ReleaseRoutes
from .api.replays import ReplayRoutes
from .command_client import CommandClient
from .dashboard.routes import DashboardRoutes
from .deployer import Deployer
from .event_streams import EventStreams
from .idempotency import Idempotency, idempotency_middleware
from .key_writer import KeyWriter
from .predict.routes import PredictRoutes
from .predict.v2_routes import V2Routes
from .replays.queue import ReplayQueue
from .replays.runs import run_replay
from .replays.store import ReplayStore
from .route import Resource, RouteTable
from .served_models import ServedModels
from .service_routes import ServiceRoutes

# Connections that may wait to be accepted. With the default of 128 a burst of clients is dropped and reconnects seconds later.
BACKLOG = 8192


class Gateway(Role):
    """One replica of the HTTP gateway."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.registry = CollectorRegistry()
        # First, since these raise SetupError for invalid settings, and nothing is open yet.
        self._tls = tls_context(settings)
        self._sealer = Sealer(settings.seal_key) if settings.seal_key is not None else None
        self._guard = RequestGuard(settings, settings.host)
        self._engine = make_engine(settings.database_url)
        self._producer = make_producer(settings)
        self._outbox = Outbox(self._producer)
        dead_letters = DeadLetterWriter(settings, self._outbox)
        self._keys = KeysView(settings, dead_letters)
        self._gatekeeper = Gatekeeper(settings, self._keys.keys.get)
        self._replicas = ReplicaView(settings)
        self._client = PredictionClient(settings, replicas=self._replicas)
        add_scraped_number(
            self.registry,
            "counter",
            "replies_mismatched",
            "Replies with a nonce in flight that do not match its request; dropped",
            lambda: self._client.mismatched,
        )
        add_scraped_number(
            self.registry, "gauge", "in_flight", "Requests without an answer", lambda: self._client.in_flight
        )
        add_scraped_number(self.registry, "counter", "retries", "Requests sent again", lambda: self._client.retries)
        self._traces = Traces.from_settings(settings, "gateway")
        self._releases = ReleasesView(settings, None)
        self._served = ServedModels(self._releases, self._replicas)
        self._predict = PredictRoutes(settings, self._client, self.registry, self._gatekeeper, self._served)
        self._statistics = StatisticsView(settings, dead_letters)
        self._events = EventPublisher(settings, self._outbox)
        self._commands = CommandClient(settings, self._outbox)
        self._replay_store = ReplayStore(self._engine)
        self._replays = ReplayQueue(self._replay_store, run_replay)
        self._registry = Registry(self._engine, ArtifactStore(settings.artifacts_url), self._sealer)

    def health(self) -> dict[str, Any]:
        """Ready once predictions can be served: a router and a worker are alive, every release is loaded, and answers arrive."""
        live = list(self._replicas.live())
        checks = {
            "kafka": self._client.connected and self._releases.ready.is_set(),
            "answers": self._client.answered,
            "router": any(beat.role == "router" for beat in live),
            "worker": any(beat.role == "worker" for beat in live),
            "models": all(
                self._replicas.serves(model, release.versions[release.stable.version])
                for model, release in self._releases.releases.items()
            ),
        }
        return {
            "at": time.time(),
            "ready": all(checks.values()),
            "checks": checks,
            # Not needed for predictions, only for deployments.
            "control_plane": any(beat.role == "control" for beat in live),
            "replicas": sorted(beat.replica for beat in live),
        }

    async def start(self, parts: Lifecycle) -> None:
        """Serve HTTP, and gRPC if a port is set; on stop, open requests are answered first."""
        # In a thread: the fork server of the proofs takes a second or two to import its modules.
        preparing = asyncio.create_task(asyncio.to_thread(report, prepare))
        grpc = self._grpc_server()
        parts.at_end("traces", self._traces.close)
        parts.at_end("database", self._engine.dispose)
        await parts.start("producer", self._producer.start(), self._producer.stop)
        parts.run("outbox", self._outbox.run())
        followed: dict[str, ReleasesView | StatisticsView | CommandClient | KeysView] = {
            "releases": self._releases,
            "statistics": self._statistics,
            "commands": self._commands,
            "keys": self._keys,
        }
        for name, view in followed.items():
            parts.run(name, view.run())
        parts.run("replicas", self._replicas.run())
        await parts.enter("client", self._client)
        parts.run("client's parts", self._client.failed())
        parts.run("replays", self._replays.run())
        for view in followed.values():
            await parts.wait(view.ready.wait())
        await parts.wait(preparing, "the sandbox of proofs")
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=self._settings.drain_timeout)
        drain = self._settings.drain_timeout
        await parts.start("application", runner.setup(), runner.cleanup, stop_seconds=drain + 2)
        await parts.wait(self._listen(runner), "HTTP server")
        if grpc is not None:
            await parts.start("gRPC server", grpc.start(), partial(grpc.stop, drain / 2), stop_seconds=drain / 2 + 2)

    async def _listen(self, runner: web.AppRunner) -> None:
        site = TimelySite(runner, self._settings.host, self._settings.port, backlog=BACKLOG, ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            raise SetupError(
                f"port {self._settings.port} on {self._settings.host} cannot be opened: {error.strerror}; "
                "choose another with --port or MODELMESH_PORT"
            ) from error

    def _grpc_server(self) -> Any:
        if self._settings.grpc_port is None:
            return None
        # gRPC's messages would mix with the JSON log lines; child processes make no gRPC calls, so fork support is not needed.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        try:
            from .predict.grpc_service import GrpcService, make_server
        except ModuleNotFoundError as error:
            raise SetupError(
                f"MODELMESH_GRPC_PORT needs {error.name}: pip install 'modelmesh[grpc]', or unset it"
            ) from error
        service = GrpcService(self._gatekeeper, self._client, self._served, self._predict)
        return make_server(self._settings, service)

    def _application(self) -> web.Application:
        table = RouteTable()
        app = web.Application(
            middlewares=[
                http_middleware(
                    self.registry, self._traces, self._settings.access_log, self._guard.check, table.is_quiet
                ),
                *cors_middlewares(self._guard),
                access_middleware(self._gatekeeper, table.scope),
                idempotency_middleware(Idempotency(self._engine), table.takes_key),
            ],
            client_max_size=self._settings.max_body_bytes,
        )
        streams = EventStreams(self._settings.streams_per_key, self._gatekeeper.invalid_reason)
        streams.end_with(app)
        table.add_to(app, self._resources(streams))
        add_cors_headers(app, self._guard)
        return app

    def _resources(self, streams: EventStreams) -> list[Resource]:
        settings, registry, releases, replicas = self._settings, self._registry, self._releases, self._replicas
        deployer = Deployer(settings, self._commands, releases, replicas)
        return [
            self._predict,
            V2Routes(self._predict, self._served),
            ModelRoutes(settings, registry, deployer, releases, replicas, self._events),
            ReleaseRoutes(registry, deployer, releases, self._statistics, self._commands.recent),
            CanaryOverrideRoutes(deployer, releases),
            CounterfactualRoutes(settings, registry),
            MonitoringRoutes(self._statistics, releases, self._commands, streams),
            LabelRoutes(settings, self._outbox, releases),
            InferenceRoutes(settings, InferenceLog(self._engine)),
            ReplayRoutes(registry, self._replay_store, self._replays, page),
            DeadLetterRoutes(settings),
            KeyRoutes(self._keys, KeyWriter(settings, self._outbox)),
            DashboardRoutes(releases, self._statistics, replicas, self._commands, streams),
            ServiceRoutes(settings, self.registry, self.health),
        ]
