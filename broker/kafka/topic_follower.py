"""Follows a small topic from its beginning; `ready` is set once all records from before the start have been read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from ...schemas.settings.mesh import MeshSettings
from ...schemas.topics import Topic
from .connection import make_consumer, partitions_of
from .dead_letter_writer import DeadLetterWriter

log = structlog.get_logger(__name__)
# How long a fetch waits at the broker where nothing comes. A follower never changes its partitions, so nothing waits behind it.
IDLE_FETCH_MS = 5_000


class TopicFollower:
    """Calls `on_record` for each record of all partitions, outside of any group.

    `from_end` skips existing records, all but those of the last `recent` seconds by their timestamps. A record on which
    `on_record` raises goes to `dead_letters`, if given, and is skipped.
    """

    def __init__(
        self,
        settings: MeshSettings,
        topic: Topic,
        on_record: Callable[[ConsumerRecord], None],
        *,
        from_end: bool = False,
        recent: float = 0.0,
        partitions: list[int] | None = None,
        dead_letters: DeadLetterWriter | None = None,
    ) -> None:
        self._settings = settings
        self._partitions = [
            partition for partition in partitions_of(topic) if partitions is None or partition.partition in partitions
        ]
        self._on_record = on_record
        self._from_end = from_end
        self._recent = recent
        self.dead_letters = dead_letters
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled, also while the broker is away for a time."""
        consumer = make_consumer(self._settings, fetch_max_wait_ms=IDLE_FETCH_MS)
        await consumer.start()
        try:
            # Before anything is assigned: afterwards these requests could wait behind an idle fetch.
            ends = await self._offsets(consumer.end_offsets)
            if self._from_end:
                begins = ends | (await self._recent_offsets(consumer) if self._recent else {})
            else:
                begins = await self._offsets(consumer.beginning_offsets)
            consumer.assign(self._partitions)
            for partition in self._partitions:
                consumer.seek(partition, begins[partition])
            while not self.ready.is_set():
                positions = [(await consumer.position(p), ends[p]) for p in self._partitions]
                if all(position >= end for position, end in positions):
                    self.ready.set()
                    break
                await self._read(consumer, timeout_ms=100)
            while True:
                await self._read(consumer, timeout_ms=1000)
        finally:
            await consumer.stop()

    async def _offsets(self, ask: Callable[[list[TopicPartition]], Awaitable[Any]]) -> dict[TopicPartition, int]:
        while True:
            try:
                return dict(await ask(self._partitions))
            except KafkaError:
                await asyncio.sleep(0.2)

    async def _recent_offsets(self, consumer: object) -> dict[TopicPartition, int]:
        """Return where the last `recent` seconds begin, of the partitions that have records in them."""
        since = int(1000 * (time.time() - self._recent))
        try:
            found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, since))  # type: ignore[attr-defined]
        except KafkaError:
            return {}
        return {partition: place.offset for partition, place in found.items() if place is not None}

    async def _read(self, consumer: object, timeout_ms: int) -> None:
        try:
            batches = await consumer.getmany(timeout_ms=timeout_ms)  # type: ignore[attr-defined]
        except KafkaError:
            await asyncio.sleep(0.2)
            return
        for records in batches.values():
            for record in records:
                try:
                    self._on_record(record)
                except Exception as error:  # one bad record must not stop the table or the role
                    self._dead_letter(record, error)

    def _dead_letter(self, record: ConsumerRecord, error: Exception) -> None:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
        where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.warning("record.malformed", **where, reason=reason[:500])
        if self.dead_letters is not None:
            self.dead_letters.put(record, reason)
