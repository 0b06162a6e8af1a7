"""Read the log again and see that nothing was lost: each accepted request has its outcome, and one row in the inference log."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

from aiokafka import ConsumerRecord
from modelmesh.broker.kafka.topic_follower import TopicFollower
from modelmesh.registry.storage.database import InferenceRow, make_engine
from modelmesh.schemas import records
from modelmesh.schemas.settings import Settings
from modelmesh.schemas.topics import Topic
from sqlalchemy import func, select

CATCH_UP_SECONDS = 120.0


async def audit(settings: Settings, prefix: str) -> dict[str, Any]:
    """Count, among the requests whose ids begin with `prefix`: accepted, without an outcome, answered again, rows.

    `contradicted` are those whose successful answers differ; after de-duplication by nonce the first outcome counts.
    """
    topics = settings.topics()
    accepted: set[str] = set()
    outcomes: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)

    def on_request(record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        if headers.get(records.ID, b"").decode().startswith(prefix):
            accepted.add(_identity(headers))

    def on_reply(record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        if headers[records.ID].decode().startswith(prefix):
            outcomes[_identity(headers)].append((headers[records.STATUS], record.value))

    # Whatever the dead left behind is taken up again first: by then the log is quiet.
    give_up = time.monotonic() + CATCH_UP_SECONDS
    while True:
        accepted.clear()
        outcomes.clear()
        await _read(settings, topics.requests, on_request)
        await _read(settings, topics.replies, on_reply)
        rows, missing = await _rows(settings, prefix)
        lost = accepted - outcomes.keys()
        if (not lost and rows == len(accepted) and not missing) or time.monotonic() > give_up:
            break
        await asyncio.sleep(1.0)
    answered_again = sum(len(found) > 1 for found in outcomes.values())
    contradicted = sum(len({body for status, body in found if status == b"200"}) > 1 for found in outcomes.values())
    return {
        "accepted": len(accepted),
        "without_outcome": len(lost),
        "answered_again": answered_again,
        "contradicted": contradicted,
        "rows": rows,
        "rows_without_outcome": missing,
    }


def _identity(headers: dict[str, bytes]) -> str:
    return (headers.get(records.NONCE) or headers[records.ID]).decode()


async def _rows(settings: Settings, prefix: str) -> tuple[int, int]:
    engine = make_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            ours = InferenceRow.request_id.startswith(prefix, autoescape=True)
            rows = await connection.scalar(select(func.count()).select_from(InferenceRow).where(ours))
            missing = await connection.scalar(
                select(func.count()).select_from(InferenceRow).where(ours, InferenceRow.status.is_(None))
            )
            return rows or 0, missing or 0
    finally:
        await engine.dispose()


async def _read(settings: Settings, topic: Topic, on_record: Any) -> None:
    """Read a topic from its beginning to its present end."""
    follower = TopicFollower(settings, topic, on_record)
    task = asyncio.create_task(follower.run())
    await follower.ready.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
