"""The router role: chooses a version and a replica for each request from its headers."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any
from uuid import uuid4

from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry, Counter, Gauge

from ..broker.kafka.connection import make_consumer, make_producer
from ..broker.kafka.consume_loop import ConsumeLoop
from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.delivery import Delivery
from ..broker.kafka.outbox import AckBarrier, Outbox
from ..broker.kafka.send_errors import answer_for, is_permanent
from ..broker.views.releases import ReleasesView
from ..broker.views.replicas import ReplicaView
from ..resilience.circuit_breaker import STATES, BreakerRules, State
from ..runtime.chaos import Chaos
from ..runtime.event_publisher import EventPublisher
from ..runtime.heartbeats import Announcer
from ..runtime.lifecycle import Lifecycle
from ..runtime.replies import ReplyWriter
from ..runtime.role import Role
from ..schemas import records
from ..schemas.errors import DeadlineExceeded, ModelMeshError, Overloaded
from ..schemas.payloads.releases import Release
from ..schemas.payloads.replicas import Heartbeat, ModelLoad
from ..schemas.settings.router import RouterSettings
from ..telemetry.bookkeeping import Bookkeeping
from ..telemetry.scraped import add_lag, add_not_understood, add_scraped_number
from ..telemetry.tracing import Traces, is_sampled, traceparent_of
from .assigned_headers import ROUTER_HEADERS, assigned_headers
from .balancer import balancer_named
from .cached_answers import CachedAnswers
from .placements import Placements
from .prediction_cache import Pending
from .redis_answers import open_redis
from .replica_breakers import ReplicaBreakers
from .route import Route
from .table import RoutingTable


class Router(Role):
    """One replica of the router."""

    def __init__(self, settings: RouterSettings) -> None:
        self._settings = settings
        self._epoch = uuid4().hex
        topics = settings.topics()
        self.registry = CollectorRegistry()
        self._routed_of = cache(
            Counter("routed", "Requests routed", ("model", "version"), registry=self.registry).labels
        )
        self._refused = Counter("refused", "Requests answered with an error", ("code",), registry=self.registry)
        self._breaker_state = Gauge(
            "replica_breaker_state", "0 closed, 1 half open, 2 open", ("replica",), registry=self.registry
        )
        self._keep_books = Bookkeeping(self.registry)
        # First, since a bad URL raises: nothing is open yet.
        redis = open_redis(settings.redis) if settings.redis else None
        self._traces = Traces.from_settings(settings, "router")
        self._producer = make_producer(settings)
        self._chaos = Chaos(settings)
        self._outbox = Outbox(self._producer, self._chaos.send_delay)
        self._reply_writer = ReplyWriter(settings, self._outbox, self._chaos)
        self._events = EventPublisher(settings, self._outbox)
        self._announcer = Announcer(settings, self._outbox, self._describe)
        self._breakers = ReplicaBreakers(BreakerRules.from_settings(settings), self._breaker_changed)
        self._table = RoutingTable(
            lambda model: topics.model(model).name,
            random.Random().randrange,
            breakers=self._breakers,
            balance=balancer_named(settings.balancing),
            warm_up=settings.warm_up,
            probes=settings.breaker_probes,
        )
        self._placements = Placements()
        dead_letters = DeadLetterWriter(settings, self._outbox)
        self._chaos.report_to(dead_letters)
        self._cached = CachedAnswers(
            settings, self.registry, self._table, self._reply_writer, self._send_on, redis, dead_letters
        )
        self._releases = ReleasesView(settings, self._outbox, self._on_release)
        self._replicas = ReplicaView(settings, self._on_beat, dead_letters)
        self._loop = ConsumeLoop(
            make_consumer(settings, group=f"{settings.prefix}.router"),
            [topics.requests.name],
            self._handle,
            dead_letter=self._reply_writer.dead_letter_and_reply,
            queue_limit=settings.queue_limit,
            commit_interval=settings.commit_interval,
            drain_timeout=settings.drain_timeout,
            on_assignment=lambda _: self._announcer.announce(),
            on_fetch=self._announcer.note_request,
        )
        add_lag(self.registry, self._loop.lag)
        add_not_understood(self.registry, self._releases.not_understood_values)
        add_scraped_number(
            self.registry,
            "counter",
            "dead_letters",
            "Records sent to dead-letters",
            lambda: self._reply_writer.dead_letter_count,
        )

    def health(self) -> dict[str, Any]:
        """Ready when the releases are read and partitions are assigned."""
        return {
            "ready": self._releases.ready.is_set() and bool(self._loop.partitions),
            "partitions": self._loop.partitions,
            "models": self._table.models,
            "in_hand": self._loop.in_hand,
            "releases_not_understood": self._releases.not_understood,
        }

    async def start(self, parts: Lifecycle) -> None:
        """Start routing. On stop, the requests in hand are finished first."""
        parts.at_end("traces", self._traces.close)
        await parts.start("producer", self._producer.start(), self._producer.stop)
        parts.run("outbox", self._outbox.run())
        parts.run("releases", self._releases.run())
        parts.run("replicas", self._replicas.run())
        parts.run("faults", self._chaos.run())
        parts.run("replica table", self._refresh())
        for name, part in self._cached.parts().items():
            parts.run(name, part)
        await parts.wait(self._releases.ready.wait())
        await parts.wait(self._cached.ready.wait())
        await parts.wait(self._replicas.ready.wait())  # until then all replicas look dead
        parts.run("requests", self._loop.run(), stop=self._loop.stop, stop_seconds=self._settings.drain_timeout + 2)
        parts.at_end("farewell", self._announcer.leave)
        parts.run("heartbeats", self._announcer.run())

    async def _refresh(self) -> None:
        """Update the table at each heartbeat, and when one is overdue."""
        reachable: dict[str, dict[str, str]] = {}
        while True:
            now = asyncio.get_running_loop().time()
            self._table.set_replicas(self._replicas.live(), self._replicas.recent(self._settings.session_timeout), now)
            if reachable != (reachable := self._table.reachable()):
                self._announcer.announce()
            await self._replicas.changed()

    def _handle(self, record: ConsumerRecord, delivery: Delivery) -> None:
        request = self._reply_writer.read_request(record, delivery)
        if request is None:
            return
        self._cached.take(Pending(record, request, delivery))

    def _send_on(self, pending: Pending) -> None:
        """Send a request to a worker, or answer it with an error."""
        record, request, delivery = pending.record, pending.request, pending.delivery
        try:
            left = request.deadline - time.time()
            if left <= 0:
                raise DeadlineExceeded
            route = self._route(request, left)
        except ModelMeshError as error:
            self._keep_books("metrics", self._count_refused, error)
            self._reply_writer.reply(request, delivery, error)
            self._cached.refused(pending)
            return
        self._keep_books("metrics", self._count_routed, request.model, route.version)
        received = [header for header in record.headers if header[0] not in ROUTER_HEADERS]
        added = [*assigned_headers(route), *self._cached.headers(pending, route.identity)]
        if is_sampled(request.traceparent):
            self._keep_books("traces", self._trace, request, route, received)
        if route.shadow is None:
            self._forward(
                request, record.value, [*received, *added], route, partial(self._forwarded, request, delivery)
            )
            return
        # The record is finished when both are acknowledged. The primary goes first: a caller waits for it.
        both = AckBarrier(2, partial(self._forwarded, request, delivery))
        primary = [*received, *added, (records.SHADOW, route.shadow.version.encode())]
        self._forward(request, record.value, primary, route, both.acknowledged)
        copy = [*received, *assigned_headers(route.shadow), (records.ROLE, b"shadow")]
        self._forward(request, record.value, copy, route.shadow, both.acknowledged)

    def _forwarded(self, request: records.PredictionRequest, delivery: Delivery, sent: asyncio.Future[object]) -> None:
        """Finish the record. If the broker refused it permanently, reply with that error."""
        error = None if sent.cancelled() else sent.exception()
        if error is None or not is_permanent(error):
            delivery.acknowledged(sent)
        else:
            self._reply_writer.reply(request, delivery, answer_for(error, "the request"))

    def _count_refused(self, error: ModelMeshError) -> None:
        self._refused.labels(error.code).inc()

    def _count_routed(self, model: str, version: str) -> None:
        self._routed_of(model, version).inc()

    def _trace(self, request: records.PredictionRequest, route: Route, headers: list[tuple[str, bytes]]) -> None:
        """Write a span, and put its traceparent in `headers`, so that the worker's span becomes its child."""
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.destination.name": route.topic,
            "modelmesh.request_id": request.request_id,
            "modelmesh.model": request.model,
            "modelmesh.version": route.version,
            "modelmesh.variant": route.variant,
            "modelmesh.replica": route.replica,
            "modelmesh.attempt": request.attempt,
        }
        span = self._traces.follow("route", request.traceparent, attributes=attributes)
        if span is not None:
            traceparent = traceparent_of(span).encode()
            span.end()
            headers[:] = [header for header in headers if header[0] != records.TRACEPARENT]
            headers.append((records.TRACEPARENT, traceparent))

    def _on_release(self, model: str, release: Release | None) -> None:
        self._cached.released(model, release)
        self._table.set_release(model, release)
        self._replicas.wake()

    def _route(self, request: records.PredictionRequest, left: float) -> Route:
        """Return the route of a request with `left` seconds until its deadline. Raises Overloaded if it would wait too long."""
        now = asyncio.get_running_loop().time()
        tried = self._placements.before(request.identity) if request.attempt > 1 else ()
        if tried:
            self._breakers.unanswered(tried[-1], now)
        key = request.routing_key or request.identity
        route = self._table.route(request.model, key, now, request.identity, tried, request.pinned_version)
        if route.wait_ms > 1000 * left * self._settings.queue_share:
            raise Overloaded(
                f"the request would wait {route.wait_ms / 1000:.1f} s for a worker, too long for its deadline",
                retry_after=route.wait_ms / 1000,
            )
        self._placements.note(request.identity, route.replica, now)
        self._replicas.expect(route.replica)
        return route

    def _on_beat(self, beat: Heartbeat) -> None:
        if beat.role == "worker":
            self._breakers.on_heartbeat(beat, asyncio.get_running_loop().time())

    def _breaker_changed(self, replica: str, state: State) -> None:
        self._breaker_state.labels(replica).set(STATES[state])
        self._events.breaker(state, "", replica, replica=replica)

    def _forward(
        self,
        request: records.PredictionRequest,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        route: Route,
        acknowledged: Callable[[asyncio.Future[object]], None],
    ) -> None:
        self._outbox.send(
            route.topic,
            value,
            key=request.request_id,
            partition=route.partition,
            headers=headers,
            acknowledged=acknowledged,
        )

    def _describe(self) -> Heartbeat:
        return Heartbeat(
            replica=self._settings.name,
            role="router",
            epoch=self._epoch,
            at=time.time(),
            pid=os.getpid(),
            chaos=self._settings.chaos,
            partitions=self._loop.partitions,
            models={
                model: ModelLoad(loaded=tuple(versions.values()), identities=versions)
                for model, versions in self._table.reachable().items()
            },
        )
