"""Find all records of one request on the topics, by its nonce and model."""

from __future__ import annotations

import base64
from typing import Any

import orjson
from aiokafka import ConsumerRecord

from ...broker.kafka.time_range import read_time_range
from ...registry.storage.database import InferenceRow
from ...schemas.documents.inference_log import RecordDocument
from ...schemas.records import ID, MODEL, NONCE
from ...schemas.settings.mesh import MeshSettings

# Seconds around the request's own time: clocks of writers differ, and shadow replies or duplicates come after the reply.
MARGIN_BEFORE, MARGIN_AFTER = 1.0, 5.0
MAX_BODY_BYTES = 10_000


async def records_of(settings: MeshSettings, row: InferenceRow, begin: float, end: float) -> list[RecordDocument]:
    """Return a request's records on all topics that a request passes, between two times with a margin.

    Reads everything on these topics in that time: one or two seconds on a busy mesh.
    """
    topics = settings.topics()
    found: list[RecordDocument] = []
    for topic in (topics.requests, topics.model(row.model), topics.replies, topics.shadow_replies, topics.cache_fills):
        records = read_time_range(settings, topic, begin - MARGIN_BEFORE, end + MARGIN_AFTER)
        found += [_document(record) async for record in records if _belongs(record, row)]
    return sorted(found, key=lambda one: one.at)


def _belongs(record: ConsumerRecord, row: InferenceRow) -> bool:
    headers = dict(record.headers)
    identity = headers.get(NONCE) or headers.get(ID)  # records of earlier releases have no nonce
    return identity == row.nonce.encode() and headers.get(MODEL) == row.model.encode()


def _document(record: ConsumerRecord) -> RecordDocument:
    return RecordDocument(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=record.timestamp / 1000,
        key=(record.key or b"").decode(errors="replace"),
        headers={name: (value or b"").decode(errors="replace") for name, value in record.headers},
        value=body_document(record.value, MAX_BODY_BYTES),
    )


def body_document(body: bytes | None, max_bytes: int | None = None) -> Any:
    """Return a body as JSON; anything else as base64 of at most its first `max_bytes`."""
    if body is None:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"base64": base64.b64encode(body[:max_bytes]).decode(), "bytes": len(body)}
