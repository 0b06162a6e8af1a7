"""Follow requests and replies and write them into the inference log."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from ..broker.burst_reader import BurstReader, burst_consumer
from ..schemas.settings import Settings
from .database import make_engine
from .inference_log import InferenceLog, retention_limit
from .migrate import upgrade

log = structlog.get_logger(__name__)
INTERVAL = 0.5
RETRY_AFTER = 1.0
CLEAN_EVERY = 600.0


class InferenceRecorder:
    """While the database is away it waits; the log holds what it has not written down."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = settings.topics()
        self._clean_at = time.monotonic()
        self.state = "starting"

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            engine = make_engine(self._settings.database_url)
            try:
                await upgrade(self._settings.database_url)
                await self._record(InferenceLog(engine, bodies=self._settings.inference_log == "full"))
            except (SQLAlchemyError, OSError, KafkaError) as error:
                self.state = f"waiting: {error}"[:300]
                log.warning("inference_log.waiting", error=str(error)[:300])
                await asyncio.sleep(RETRY_AFTER)
            finally:
                await engine.dispose()

    async def _record(self, rows: InferenceLog) -> None:
        consumer = burst_consumer(self._settings)
        await consumer.start()
        try:
            reader = await self._reader(consumer, rows)
            self.state = "following"
            while True:
                async for batches in reader.read():
                    requests, replies = (
                        [record for tp, records in batches.items() if tp.topic == topic.name for record in records]
                        for topic in (self._topics.requests, self._topics.replies)
                    )
                    offsets = {tp: records[-1].offset + 1 for tp, records in batches.items()}
                    await rows.write(requests, replies, offsets)
                if time.monotonic() >= self._clean_at:
                    await self._clean(rows)
                await asyncio.sleep(INTERVAL)
        finally:
            await consumer.stop()

    async def _reader(self, consumer: AIOKafkaConsumer, rows: InferenceLog) -> BurstReader:
        partitions = [
            TopicPartition(topic.name, number)
            for topic in (self._topics.requests, self._topics.replies)
            for number in range(topic.partitions)
        ]
        consumer.assign(partitions)
        known = await rows.offsets()
        beginnings = await consumer.beginning_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, max(known.get(partition, 0), beginnings[partition]))
        return BurstReader(consumer, partitions)

    async def _clean(self, rows: InferenceLog) -> None:
        self._clean_at = time.monotonic() + CLEAN_EVERY
        deleted = await rows.forget(retention_limit(self._settings.inference_log_days))
        if deleted:
            log.info("inference_log.cleaned", rows=deleted)
