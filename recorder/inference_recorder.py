"""Follows requests and replies, and writes them to the inference log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from ..broker.kafka.catch_up_reader import CatchUpReader, catch_up_consumer
from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.outbox import Outbox
from ..registry.storage.retries import write_with_retries
from ..schemas.settings.recorder import RecorderSettings
from .inference_log import InferenceLog, retention_limit
from .log_offsets import reader_from

log = structlog.get_logger(__name__)
INTERVAL = 1.0
CLEAN_INTERVAL = 600.0


class InferenceRecorder:
    """Writes the inference log. While the database is down it waits; the records stay in Kafka."""

    def __init__(self, settings: RecorderSettings, outbox: Outbox) -> None:
        self._dead_letters = DeadLetterWriter(settings, outbox)
        self._settings = settings
        self._topics = settings.topics()
        self._clean_at = time.monotonic()
        self.state = "starting"
        self._reader: CatchUpReader | None = None

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and the number of records not stored yet."""
        return self._reader.lag() if self._reader is not None else iter(())

    async def run(self) -> None:
        """Record until cancelled."""
        await write_with_retries(self._settings.database_url, "inference_log", self._record, self._set_state)

    def _set_state(self, state: str) -> None:
        self.state = state

    async def _record(self, engine: AsyncEngine) -> None:
        rows = InferenceLog(engine, bodies=self._settings.inference_log == "full")
        consumer = catch_up_consumer(self._settings)
        await consumer.start()
        try:
            reader = self._reader = await reader_from(consumer, engine, self._topics.requests, self._topics.replies)
            self.state = "following"
            while True:
                async for batches in reader.read():
                    requests, replies = (
                        [record for tp, records in batches.items() if tp.topic == topic.name for record in records]
                        for topic in (self._topics.requests, self._topics.replies)
                    )
                    offsets = {tp: records[-1].offset + 1 for tp, records in batches.items()}
                    await rows.write(requests, replies, offsets)
                    for record, reason in rows.unreadable:
                        self._dead_letters.put(record, reason)
                    rows.unreadable.clear()
                if time.monotonic() >= self._clean_at:
                    await self._clean(rows)
                await asyncio.sleep(INTERVAL)
        finally:
            await consumer.stop()

    async def _clean(self, rows: InferenceLog) -> None:
        self._clean_at = time.monotonic() + CLEAN_INTERVAL
        deleted = await rows.forget(retention_limit(self._settings.inference_log_days))
        if deleted:
            log.info("inference_log.cleaned", rows=deleted)
