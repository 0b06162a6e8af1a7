"""All records of one request, found on the topics by its nonce and model."""

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

# A record's time is its writer's; clocks differ a little, and a shadow's or a late second answer comes after the first.
BEFORE, AFTER = 1.0, 5.0
MAX_BODY = 10_000


async def records_of(settings: MeshSettings, row: InferenceRow, begin: float, end: float) -> list[RecordDocument]:
    """Return the records of a request on the topics that a request passes, between two moments and a little around them.

    Reads all that was written there meanwhile: a second or two for a busy mesh.
    """
    topics = settings.topics()
    found: list[RecordDocument] = []
    for topic in (topics.requests, topics.model(row.model), topics.replies, topics.shadow_replies, topics.cache_fills):
        records = read_time_range(settings, topic, begin - BEFORE, end + AFTER)
        found += [_document(record) async for record in records if _belongs(record, row)]
    return sorted(found, key=lambda one: one.at)


def _belongs(record: ConsumerRecord, row: InferenceRow) -> bool:
    headers = dict(record.headers)
    identity = headers.get(NONCE) or headers.get(ID)  # records of the old form have no nonce
    return identity == row.nonce.encode() and headers.get(MODEL) == row.model.encode()


def _document(record: ConsumerRecord) -> RecordDocument:
    return RecordDocument(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=record.timestamp / 1000,
        key=(record.key or b"").decode(errors="replace"),
        headers={name: (value or b"").decode(errors="replace") for name, value in record.headers},
        value=shown(record.value, MAX_BODY),
    )


def shown(body: bytes | None, most: int | None = None) -> Any:
    """Return a body as JSON, or what is no JSON as base64: of a long one the first `most` bytes."""
    if body is None:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"base64": base64.b64encode(body[:most]).decode(), "bytes": len(body)}
