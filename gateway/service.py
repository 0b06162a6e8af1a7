"""The gateway role: the predict routes and the control plane's API in one aiohttp application."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from functools import partial
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from .. import __version__
from ..access.caller import caller
from ..access.cors import cors_middlewares, open_to_pages
from ..access.door import Door
from ..access.gatekeeper import Gatekeeper
from ..access.middleware import access_middleware
from ..access.tls import tls_context
from ..broker.kafka.connection import make_producer
from ..broker.kafka.dead_letter_box import DeadLetterBox
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
from ..schemas.asyncapi import asyncapi_document
from ..schemas.errors import SetupError
from ..schemas.settings import Settings
from ..telemetry.admin_server import metrics_page, metrics_response
from ..telemetry.http import http_middleware, json_response
from ..telemetry.merged_metrics import merged
from ..telemetry.readings import add_number
from ..telemetry.timely_site import TimelySite
from ..telemetry.tracing import Traces
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
from .mesh_metrics import others_metrics
from .openapi import docs_page, openapi_document
from .predict.routes import PredictRoutes
from .predict.v2_routes import V2Routes
from .replays.queue import ReplayQueue
from .replays.runs import run_replay
from .replays.store import ReplayStore
from .served_models import ServedModels

# Connections that may wait to be accepted; the default of 128 drops a crowd, whose SYNs come back seconds later.
BACKLOG = 8192
_DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)


class Gateway(Role):
    """One replica of the HTTP gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.registry = CollectorRegistry()
        # What can be wrong with the settings comes first, before anything is open.
        self._tls = tls_context(settings)
        self._sealer = Sealer(settings.seal_key) if settings.seal_key is not None else None
        self._door = Door(settings, settings.host)
        self._engine = make_engine(settings.database_url)
        self._producer = make_producer(settings)
        self._outbox = Outbox(self._producer)
        junk = DeadLetterBox(settings, self._outbox)
        self._keys = KeysView(settings, junk)
        self._gatekeeper = Gatekeeper(settings, self._keys.keys.get)
        self._replicas = ReplicaView(settings)
        self._client = PredictionClient(settings, replicas=self._replicas)
        add_number(
            self.registry,
            "counter",
            "replies_mismatched",
            "Replies under a nonce in flight that fit its request in no other way; dropped",
            lambda: self._client.mismatched,
        )
        add_number(self.registry, "gauge", "in_flight", "Requests without an answer", lambda: self._client.in_flight)
        add_number(self.registry, "counter", "retries", "Requests sent again", lambda: self._client.retries)
        self._traces = Traces.from_settings(settings, "gateway")
        self._releases = ReleasesView(settings, None)
        self._served = ServedModels(self._releases, self._replicas)
        self._predict = PredictRoutes(settings, self._client, self.registry, self._gatekeeper, self._served)
        self._statistics = StatisticsView(settings, junk)
        self._events = EventPublisher(settings, self._outbox)
        self._commands = CommandClient(settings, self._outbox)
        self._replay_store = ReplayStore(self._engine)
        self._replays = ReplayQueue(self._replay_store, run_replay, settings.data / "replays" / settings.name)
        self._registry = Registry(self._engine, ArtifactStore(settings.artifacts_url), self._sealer)

    def health(self) -> dict[str, Any]:
        """Ready once a prediction can be served: a router and a worker are alive, every release is loaded, and answers come."""
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
            # Predictions go on without it; deployments wait.
            "control_plane": any(beat.role == "control" for beat in live),
            "replicas": sorted(beat.replica for beat in live),
        }

    async def start(self, parts: Lifecycle) -> None:
        """Serve HTTP, and gRPC where it has a port; at the end open requests are answered first."""
        # In a thread: the server process that proofs are forked from imports for a second or two.
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
        # Its notes on standard error would stand between the lines of JSON; processes that are started here make no calls.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        try:
            from .predict.grpc_service import GrpcService, make_server
        except ModuleNotFoundError as error:
            raise SetupError(
                f"MODELMESH_GRPC_PORT needs {error.name}: pip install 'modelmesh[grpc]', or leave it out"
            ) from error
        service = GrpcService(self._gatekeeper, self._client, self._served, self._predict)
        return make_server(self._settings, service)

    def _application(self) -> web.Application:
        app = web.Application(
            middlewares=[
                http_middleware(self.registry, self._traces, self._settings.access_log, self._door.check),
                *cors_middlewares(self._door),
                access_middleware(self._gatekeeper),
                idempotency_middleware(Idempotency(self._engine)),
            ],
            client_max_size=self._settings.max_body_bytes,
        )
        self._predict.add_to(app)
        V2Routes(self._predict, self._served).add_to(app)
        deployer = Deployer(self._settings, self._commands, self._releases, self._replicas)
        ModelRoutes(self._settings, self._registry, deployer, self._releases, self._replicas, self._events).add_to(app)
        DeadLetterRoutes(self._settings).add_to(app)
        KeyRoutes(self._keys, KeyWriter(self._settings, self._outbox)).add_to(app)
        LabelRoutes(self._settings, self._outbox, self._releases).add_to(app)
        ReleaseRoutes(self._registry, deployer, self._releases, self._statistics).add_to(app)
        CounterfactualRoutes(self._settings, self._registry).add_to(app)
        InferenceRoutes(self._settings, InferenceLog(self._engine)).add_to(app)
        ReplayRoutes(self._registry, self._replay_store, self._replays, page).add_to(app)
        streams = EventStreams(self._settings.streams_per_key, self._gatekeeper.why_over)
        streams.end_with(app)
        MonitoringRoutes(self._statistics, self._releases, self._commands, streams).add_to(app)
        DashboardRoutes(self._releases, self._statistics, self._replicas, self._commands, streams).add_to(app)
        app.router.add_get("/health", self._health)
        app.router.add_get("/health/ready", self._health)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_get("/docs", self._docs)
        app.router.add_get("/asyncapi.json", self._asyncapi)
        app.router.add_get("/", self._root)
        _add_versioned(app)
        open_to_pages(app, self._door)
        return app

    async def _asyncapi(self, request: web.Request) -> web.Response:
        # The route is open. Where keys are asked for, the address is for those whom somebody gave a user of Kafka's.
        kafka = self._settings.kafka if self._gatekeeper.open else None
        return json_response(asyncapi_document(self._settings.topics(), kafka, __version__))

    async def _health(self, request: web.Request) -> web.Response:
        document = self.health()
        return json_response(document, 200 if document["ready"] else 503)

    async def _live(self, request: web.Request) -> web.Response:
        return json_response({"live": True})

    async def _metrics(self, request: web.Request) -> web.Response:
        models = caller.get().models
        if self._settings.mesh_state is None and not models:
            return metrics_response(self.registry)
        state = self._settings.mesh_state
        others = await others_metrics(state, self._settings.name) if state is not None else {}
        return metrics_page(merged(self.registry, others, models))

    async def _openapi(self, request: web.Request) -> web.Response:
        return web.Response(body=_openapi_page(), content_type="application/json")

    async def _docs(self, request: web.Request) -> web.Response:
        return web.Response(
            text=_docs_page(), content_type="text/html", headers={"Content-Security-Policy": _DOCS_POLICY}
        )

    async def _root(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/docs")


@functools.cache
def _openapi_page() -> bytes:
    """Made once: it takes a tenth of a second, and whoever has no key may ask for it too."""
    return orjson.dumps(openapi_document())


@functools.cache
def _docs_page() -> str:
    return docs_page(openapi_document())


def _add_versioned(app: web.Application) -> None:
    """Add every route under /v1 too; the short paths are aliases of these. /v2 is a protocol of its own."""
    for route in list(app.router.routes()):
        if route.resource is None or route.method == "HEAD":
            continue
        path = route.resource.canonical
        if path != "/" and not path.startswith("/v2"):
            app.router.add_route(route.method, f"/v1{path}", route.handler)
