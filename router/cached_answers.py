"""The router's use of the prediction cache: which requests it may answer, and how it is filled from Kafka."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from zlib import crc32

from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.topic_follower import TopicFollower
from ..runtime.replies import ReplyWriter
from ..schemas import records
from ..schemas.errors import MalformedRecord
from ..schemas.payloads.releases import Release, Variant
from ..schemas.settings.router import RouterSettings
from .answer_store import AnswerKey, MemoryAnswers
from .assignment import shadow_of
from .inputs_digest import inputs_digest
from .prediction_cache import Pending, PredictionCache
from .redis_answers import RedisAnswers
from .table import RoutingTable


class CachedAnswers:
    """Answers cacheable requests from the cache. All others go to `send_on`."""

    def __init__(
        self,
        settings: RouterSettings,
        registry: CollectorRegistry,
        table: RoutingTable,
        reply_writer: ReplyWriter,
        send_on: Callable[[Pending], None],
        redis: Redis | None,
        dead_letters: DeadLetterWriter,
    ) -> None:
        self._settings = settings
        self._table = table
        self._reply_writer = reply_writer
        self._send_on = send_on
        self._cache = PredictionCache(registry, answered=self._answer, missed=send_on)
        self._cache.use(
            RedisAnswers(redis, settings.prefix, settings.cache_patience, self._cache.failed)
            if redis is not None
            else MemoryAnswers(settings.cache_bytes)
        )
        fills = settings.topics().cache_fills
        # Two routers may share a partition. Each then stores the other's answers too.
        self._partition = crc32(settings.name.encode()) % fills.partitions
        self._fills = TopicFollower(
            settings, fills, self._on_fill, from_end=True, partitions=[self._partition], dead_letters=dead_letters
        )
        self.ready = self._fills.ready

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the background tasks by name."""
        return {"cached answers of others": self._fills.run(), "prediction cache": self._cache.run()}

    def take(self, pending: Pending) -> None:
        """Answer a request from the cache, let it wait for an equal one in flight, or send it on."""
        key = self._key(pending.request) if self._settings.cache else None
        if key is None:
            self._send_on(pending)
        else:
            self._cache.ask(replace(pending, key=key), key)

    def headers(self, pending: Pending, identity: str) -> list[tuple[str, bytes]]:
        """Return the headers that make the worker send its answer here too, if it is to be cached."""
        if pending.key is None or pending.key.identity != identity:
            return []
        return [(records.DIGEST, pending.key.inputs.encode()), (records.FILL, b"%d" % self._partition)]

    def refused(self, pending: Pending) -> None:
        """Release the requests that wait for this one: it could not be sent on."""
        if pending.key is not None:
            self._cache.complete(pending.key, None, 0.0)

    def released(self, model: str, release: Release | None) -> None:
        """Drop the answers of versions that leave a model's release. Called before the release changes."""
        after = release.identities if release is not None else {}
        for version, identity in self._table.identities(model).items():
            if after.get(version) != identity:
                self._cache.drop(model, version)

    def _key(self, request: records.PredictionRequest) -> AnswerKey | None:
        """Return the cache key, or None if the version that the request would get is not cached."""
        if request.pinned_version or request.content_type != records.JSON:
            return None
        assigned = self._assigned(request)
        if assigned is None:
            return None
        release, variant = assigned
        spec = release.versions[variant.version]
        # A request with a shadow copy must reach the workers: the two answers are compared.
        if not spec.cache_ttl_seconds or shadow_of(release, request.identity) is not None:
            return None
        inputs = inputs_digest(request.body)
        return None if inputs is None else AnswerKey(request.model, spec.version, spec.identity, inputs)

    def _assigned(self, request: records.PredictionRequest) -> tuple[Release, Variant] | None:
        return self._table.assigned(request.model, request.routing_key or request.identity)

    def _answer(self, pending: Pending, answer: bytes) -> None:
        assigned = self._assigned(pending.request)
        key, spec = pending.key, assigned and assigned[0].versions[assigned[1].version]
        if assigned is None or spec is None or key is None or spec.identity != key.identity:
            self._send_on(replace(pending, key=None))  # the release has changed while it waited
            return
        release, variant = assigned
        request = replace(
            pending.request,
            version=variant.version,
            variant=variant.name,
            trial=release.trial,
            generation=release.generation,
        )
        self._reply_writer.reply(request, pending.delivery, answer, cached=True)

    def _on_fill(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        try:
            reply = records.Reply.from_record(record.headers, record.value)
            inputs, version = headers[records.DIGEST].decode(), headers[records.ASKED_VERSION].decode()
            # An older worker sends no identity: its answer is not cached.
            identity = headers.get(records.VERSION_ID, b"").decode()
        except (KeyError, UnicodeDecodeError, AttributeError):
            raise MalformedRecord("it lacks the inputs' digest or the requested version") from None
        spec = self._table.spec(reply.model, version)
        if spec is None or spec.identity != identity:
            return  # the version has left the release; another may have its number now
        key = AnswerKey(reply.model, version, identity, inputs)
        # A fallback answer of stable is not the candidate's answer.
        self._cache.complete(key, reply.body if reply.ok and reply.version == version else None, spec.cache_ttl_seconds)
