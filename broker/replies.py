"""Answer a request on the log, or put its record aside: each accepted record ends in exactly one of the two."""

from __future__ import annotations

import orjson
import structlog
from aiokafka import ConsumerRecord

from ..schemas.errors import MalformedRecord, ModelFailed, ModelMeshError
from ..schemas.records import PredictionRequest, Reply, dead_letter_headers
from ..schemas.settings import Settings
from .consume_loop import Delivery
from .outbox import Outbox

log = structlog.get_logger(__name__)


class Answerer:
    """Writes replies and dead letters; the record is finished when they are acknowledged."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        topics = settings.topics()
        self._replies = {"primary": topics.replies, "shadow": topics.shadow_replies}
        self._dead_letters = topics.dead_letters.name
        self._largest = settings.max_record_bytes - 16 * 1024
        self._name = settings.name
        self._outbox = outbox

    def read_request(self, record: ConsumerRecord, delivery: Delivery) -> PredictionRequest | None:
        """Return the record's request; one that cannot be read or answered goes to the dead letters, and None returns."""
        try:
            request = PredictionRequest.from_record(record.headers, record.value)
            # A reply to anywhere else would block the producer, or reach somebody who never asked.
            if request.reply_topic != self._replies["primary"].name:
                raise MalformedRecord(
                    f"replies go to {self._replies['primary'].name}, not {request.reply_topic[:80]!r}"
                )
            if request.reply_partition >= self._replies["primary"].partitions:
                raise MalformedRecord(f"there is no reply partition {request.reply_partition}")
        except MalformedRecord as error:
            self.dead_letter(record, delivery, error.detail)
            return None
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
            traceparent=request.traceparent,
        )
        self._outbox.send(
            self._replies[request.role].name,
            reply.body,
            key=reply.request_id,
            partition=request.reply_partition,
            headers=reply.headers(),
            acknowledged=delivery.acknowledged,
        )

    def dead_letter(self, record: ConsumerRecord, delivery: Delivery, reason: str) -> None:
        """Put a record aside with the reason; its consumer goes on."""
        source = f"{record.topic}/{record.partition}/{record.offset}"
        log.warning("record.dead_letter", source=source, reason=reason)
        self._outbox.send(
            self._dead_letters,
            record.value,
            key=source,
            headers=dead_letter_headers(record.headers, reason=reason, source=source),
            acknowledged=delivery.acknowledged,
        )
