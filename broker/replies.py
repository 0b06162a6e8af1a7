"""Answer a request on the log, or put its record aside: each accepted record ends in exactly one of the two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import structlog
from aiokafka import ConsumerRecord

from ..schemas.errors import MalformedRecord, ModelFailed, ModelMeshError, PoisonousRequest
from ..schemas.records import ASKED_VERSION, DIGEST, JSON, PredictionRequest, Reply, dead_letter_headers
from ..schemas.settings import Settings
from .chaos import Chaos
from .consume_loop import Delivery
from .outbox import Outbox

log = structlog.get_logger(__name__)


class Answerer:
    """Writes replies and dead letters; the record is finished when they are acknowledged."""

    def __init__(self, settings: Settings, outbox: Outbox, chaos: Chaos | None = None) -> None:
        self._chaos = chaos
        topics = settings.topics()
        self._replies = {"primary": topics.replies, "shadow": topics.shadow_replies}
        self._dead_letters = topics.dead_letters.name
        self._fills = topics.cache_fills
        self.put_aside_count = 0
        self._largest = settings.max_record_bytes - 16 * 1024
        self._name = settings.name
        self._outbox = outbox

    def read_request(self, record: ConsumerRecord, delivery: Delivery) -> PredictionRequest | None:
        """Return the record's request; one that cannot be read or answered goes to the dead letters, and None returns."""
        try:
            return self._answerable(record)
        except MalformedRecord as error:
            self.dead_letter(record, delivery, error.detail)
            return None

    def _answerable(self, record: ConsumerRecord) -> PredictionRequest:
        request = PredictionRequest.from_record(record.headers, record.value)
        # A reply to anywhere else would block the producer, or reach somebody who never asked.
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
        """Send the answer, or the error as a problem document, to where the request says."""
        if isinstance(outcome, bytes) and len(outcome) > self._largest:
            outcome = ModelFailed(f"the answer has {len(outcome)} bytes, more than the log takes ({self._largest})")
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
            shadow=request.shadow,
            fallback=fallback,
            seconds=seconds,
            cached=cached,
            content_type=content_type,
            traceparent=request.traceparent,
        )
        topic = self._replies[request.role].name
        where = {"model": request.model, "version": reply.version, "routing_key": request.routing_key, "topic": topic}
        if self._chaos is not None and self._chaos.find("drop-replies", **where):
            delivery.finish()
            return
        self._outbox.send(
            topic,
            reply.body,
            key=reply.request_id,
            partition=request.reply_partition,
            headers=reply.headers(),
            acknowledged=delivery.acknowledged,
        )
        if 0 <= request.fill < self._fills.partitions and request.role == "primary" and not cached:
            # Nobody waits for its acknowledgement: without it the cache is missing an answer, and that is all.
            self._outbox.send(
                self._fills.name,
                reply.body if reply.ok else None,
                key=reply.request_id,
                partition=request.fill,
                headers=[
                    *reply.headers(),
                    (DIGEST, request.digest.encode()),
                    (ASKED_VERSION, request.version.encode()),
                ],
            )

    def put_aside(self, record: ConsumerRecord, delivery: Delivery, reason: str, stack: str) -> None:
        """Give up on a record: it goes to the dead letters, and then its caller, where it has one, gets an error."""
        try:
            request = self._answerable(record)
        except MalformedRecord:
            self.dead_letter(record, delivery, reason, stack)
            return

        def then_reply(sent: asyncio.Future[object]) -> None:
            if sent.cancelled() or sent.exception() is not None:
                delivery.acknowledged(sent)
            else:
                self.reply(request, delivery, PoisonousRequest(f"the request was put aside: {reason}"))

        self._send_dead_letter(record, reason, stack, then_reply)

    def dead_letter(self, record: ConsumerRecord, delivery: Delivery, reason: str, stack: str = "") -> None:
        """Put a record aside with the reason; its consumer goes on."""
        self._send_dead_letter(record, reason, stack, delivery.acknowledged)

    def _send_dead_letter(
        self, record: ConsumerRecord, reason: str, stack: str, acknowledged: Callable[[asyncio.Future[object]], None]
    ) -> None:
        source = f"{record.topic}/{record.partition}/{record.offset}"
        log.warning("record.dead_letter", source=source, reason=reason)
        self.put_aside_count += 1
        self._outbox.send(
            self._dead_letters,
            record.value,
            key=source,
            headers=dead_letter_headers(record.headers, reason=reason, source=source, key=record.key, stack=stack),
            acknowledged=acknowledged,
        )
