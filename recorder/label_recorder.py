"""Follows the labels topic, and publishes each version's accuracy and the labelled answers for the judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from ..broker.kafka.catch_up_reader import CatchUpReader, catch_up_consumer
from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.outbox import Outbox
from ..registry.storage.retries import write_with_retries
from ..schemas.settings.recorder import RecorderSettings
from .inference_log import retention_limit
from .label_reports import publish_reports
from .labels import Labels
from .log_offsets import reader_from

INTERVAL = 2.0
CLEAN_INTERVAL = 600.0


class LabelRecorder:
    """Compares labels with the answers in the inference log, which must keep bodies."""

    def __init__(self, settings: RecorderSettings, outbox: Outbox) -> None:
        self._settings = settings
        self._topics = settings.topics()
        self._outbox = outbox
        self._dead_letters = DeadLetterWriter(settings, outbox)
        self._reader: CatchUpReader | None = None
        self.state = "starting"

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and the number of records not stored yet."""
        return self._reader.lag() if self._reader is not None else iter(())

    async def run(self) -> None:
        """Record until cancelled."""
        await write_with_retries(self._settings.database_url, "labels", self._record, self._set_state)

    def _set_state(self, state: str) -> None:
        self.state = state

    async def _record(self, engine: AsyncEngine) -> None:
        labels = Labels(engine)
        consumer = catch_up_consumer(self._settings)
        await consumer.start()
        try:
            reader = self._reader = await reader_from(consumer, engine, self._topics.labels)
            self.state = "following"
            clean_at = time.monotonic()
            # Results from before a crash may not have been published.
            await self._publish(labels, await labels.models())
            await publish_reports(engine, self._outbox, self._topics.observations.name)
            while True:
                async for batches in reader.read():
                    for partition, records in batches.items():
                        for record, reason in await labels.write(records, {partition: records[-1].offset + 1}):
                            self._dead_letters.put(record, reason)
                if joined := await labels.compare():
                    await self._publish(labels, joined)
                await publish_reports(engine, self._outbox, self._topics.observations.name)
                if time.monotonic() >= clean_at:
                    clean_at = time.monotonic() + CLEAN_INTERVAL
                    await labels.forget(retention_limit(self._settings.inference_log_days))
                await asyncio.sleep(INTERVAL)
        finally:
            await consumer.stop()

    async def _publish(self, labels: Labels, models: set[str]) -> None:
        for model in models:
            document = {"at": time.time(), "versions": await labels.accuracy(model)}
            self._outbox.send(self._topics.statistics.name, orjson.dumps(document), key=f"{model}|accuracy")
