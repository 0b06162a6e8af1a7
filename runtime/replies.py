"""Writes replies and dead letters: each accepted record ends in exactly one of the two."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import orjson
import structlog
from aiokafka import ConsumerRecord

from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.delivery import Delivery
from ..broker.kafka.outbox import Outbox
from ..broker.kafka.send_errors import answer_for, is_permanent
from ..schemas.errors import MalformedRecord, ModelMeshError, PoisonousRequest, RequestTooLarge
from ..schemas.records import (
    ASKED_VERSION,
    DIGEST,
    JSON,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    VERSION_ID,
    PredictionRequest,
    Reply,
    header_bytes,
)
from ..schemas.settings.mesh import MeshSettings
from .chaos import Chaos

log = structlog.get_logger(__name__)


class ReplyWriter:
    """Writes replies and dead letters, and finishes the record when they are acknowledged."""

    def __init__(self, settings: MeshSettings, outbox: Outbox, chaos: Chaos | None = None) -> None:
        self._chaos = chaos
        topics = settings.topics()
        self._replies = {"primary": topics.replies, "shadow": topics.shadow_replies}
        self._dead_letters = DeadLetterWriter(settings, outbox)
        self._fills = topics.cache_fills
        self._largest = settings.max_record_bytes - 48 * 1024  # headers take the rest
        self._largest_request = settings.max_body_bytes
        self._name = settings.name
        self._outbox = outbox

    @property
    def dead_letter_count(self) -> int:
        """Number of dead letters written."""
        return self._dead_letters.count

    def read_request(self, record: ConsumerRecord, delivery: Delivery) -> PredictionRequest | None:
        """Return the record's request, or None if it has been dealt with: a malformed or unanswerable record goes to the
        dead letters, and a request above the size limits is answered with 413."""
        try:
            request = self._answerable(record)
        except MalformedRecord as error:
            self.dead_letter(record, delivery, error.detail)
            return None
        if len(request.body) > self._largest_request:
            self._too_large(request, delivery, f"the request has {len(request.body)} bytes", self._largest_request)
            return None
        if len(record.headers) > MAX_HEADERS or header_bytes(record.headers) > MAX_HEADER_BYTES:
            what = f"the record has {len(record.headers)} headers with {header_bytes(record.headers)} bytes"
            self._too_large(request, delivery, what, MAX_HEADER_BYTES)
            return None
        return request

    def _too_large(self, request: PredictionRequest, delivery: Delivery, what: str, limit: int) -> None:
        """Answer with 413, repeating only bounded fields of the request."""
        bounded = replace(
            request,
            model=request.model[:128],
            version="",
            variant="",
            content_type=JSON,
            traceparent="",
            caller="",
            fill=None,
        )
        self.reply(bounded, delivery, RequestTooLarge(f"{what}, more than the limit of {limit}"))

    def _answerable(self, record: ConsumerRecord) -> PredictionRequest:
        request = PredictionRequest.from_record(record.headers, record.value)
        # A reply to any other topic would block the producer, or reach a reader that sent no request.
        if request.reply_topic != self._replies["primary"].name:
            raise MalformedRecord(f"replies go to {self._replies['primary'].name}, not {request.reply_topic[:80]!r}")
        if request.reply_partition >= self._replies["primary"].partitions:
            raise MalformedRecord(f"there is no reply partition {request.reply_partition}")
        return request

    def reply(
        self,
        request: PredictionRequest,
        delivery: Delivery,
        outcome: bytes | ModelMeshError,
        *,
        version: str = "",
        variant: str = "",
        batch_rows: int = 0,
        fallback: str = "",
        seconds: float = 0.0,
        cached: bool = False,
        content_type: str = JSON,
    ) -> None:
        """Send the answer, or the error as a problem document, to the request's reply partition."""
        if isinstance(outcome, bytes) and len(outcome) > self._largest:
            outcome = RequestTooLarge(
                f"the answer has {len(outcome)} bytes, more than a record may have ({self._largest}): send fewer rows per request"
            )
        status, body = (
            (200, outcome) if isinstance(outcome, bytes) else (outcome.status, orjson.dumps(outcome.problem()))
        )
        reply = Reply(
            request_id=request.request_id,
            model=request.model,
            status=status,
            body=body,
            version=version or request.version,
            variant=variant or request.variant,
            attempt=request.attempt,
            batch_size=batch_rows,
            worker=self._name,
            trial=request.trial,
            generation=request.generation,
            shadow=request.shadow,
            fallback=fallback,
            seconds=seconds,
            cached=cached,
            content_type=content_type,
            traceparent=request.traceparent,
            nonce=request.nonce,
            caller=request.caller,
        )
        self._send(request, reply, delivery)

    def _send(self, request: PredictionRequest, reply: Reply, delivery: Delivery) -> None:
        topic = self._replies[request.role].name
        where = {"model": request.model, "version": reply.version, "routing_key": request.routing_key, "topic": topic}
        if self._chaos is not None and self._chaos.find("drop-replies", **where):
            delivery.finish()
            return
        self._outbox.send(
            topic,
            reply.body,
            key=request.identity,
            partition=request.reply_partition,
            headers=reply.headers(),
            acknowledged=partial(self._replied, reply, topic, request.reply_partition, delivery),
        )
        if (
            request.fill is not None
            and 0 <= request.fill < self._fills.partitions
            and request.role == "primary"
            and not reply.cached
        ):
            # Not acknowledged: if it is lost, the cache only lacks an answer.
            self._outbox.send(
                self._fills.name,
                reply.body if reply.ok else None,
                key=request.identity,
                partition=request.fill,
                headers=[
                    *reply.headers(),
                    (DIGEST, request.digest.encode()),
                    (ASKED_VERSION, request.version.encode()),
                    (VERSION_ID, request.version_id.encode()),
                ],
            )

    def _replied(
        self, reply: Reply, topic: str, partition: int, delivery: Delivery, sent: asyncio.Future[object]
    ) -> None:
        """Finish the record. If the broker permanently refused the answer, send an error reply instead."""
        error = None if sent.cancelled() else sent.exception()
        if error is None or not is_permanent(error):
            delivery.acknowledged(sent)
            return
        log.error("reply.refused", topic=topic, request_id=reply.request_id[:140], error=str(error)[:200])
        problem = answer_for(error, "the answer")
        error_reply = replace(
            reply,
            status=problem.status,
            body=orjson.dumps(problem.problem()),
            model=reply.model[:128],
            content_type=JSON,
            traceparent="",
        )
        self._outbox.send(
            topic,
            error_reply.body,
            key=error_reply.identity,
            partition=partition,
            headers=error_reply.headers(),
            acknowledged=delivery.acknowledged,
        )

    def dead_letter_and_reply(self, record: ConsumerRecord, delivery: Delivery, reason: str, stack: str) -> None:
        """Send a record to the dead letters, and then an error reply to its caller, if it is a request."""
        try:
            request = self._answerable(record)
        except MalformedRecord:
            self.dead_letter(record, delivery, reason, stack)
            return

        def then_reply(sent: asyncio.Future[object]) -> None:
            error = None if sent.cancelled() else sent.exception()
            if sent.cancelled() or (error is not None and not is_permanent(error)):
                delivery.acknowledged(sent)
            else:
                self.reply(request, delivery, PoisonousRequest(f"the request was dead-lettered: {reason[:1000]}"))

        self._dead_letters.put(record, reason, stack, then_reply)

    def dead_letter(self, record: ConsumerRecord, delivery: Delivery, reason: str, stack: str = "") -> None:
        """Send a record to the dead letters with the reason, and finish it once that is acknowledged."""
        self._dead_letters.put(record, reason, stack, delivery.acknowledged)
