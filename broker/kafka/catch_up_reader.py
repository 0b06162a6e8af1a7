"""Reads many partitions in bursts, for consumers that tolerate a delay.

A polling consumer keeps a fetch open at the broker, which checks all its partitions for each record that is produced to one
of them: with 64 partitions this was half of the tail latency of requests. This reader fetches nothing between bursts, and
pauses between batches, so that the roles that serve requests get the cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ...schemas.settings.mesh import MeshSettings
from .connection import make_consumer

FETCH_BYTES = 256 * 1024
# Records of a batch, the pause after it as a multiple of its processing time, and the longest pause in seconds.
BATCH, PAUSE_FACTOR, MAX_PAUSE = 100, 3.0, 0.05
# Above this lag there are no pauses, and batches are larger.
HIGH_LAG, LARGE_BATCH = 5_000, 2_000


def catch_up_consumer(settings: MeshSettings) -> AIOKafkaConsumer:
    """Return an unstarted consumer for a CatchUpReader. Its fetches are large and do not wait for new records."""
    return make_consumer(settings, fetch_min_bytes=FETCH_BYTES, fetch_max_wait_ms=5)


class CatchUpReader:
    """Reads the partitions that a started consumer has been assigned and positioned on."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = list(partitions)
        self._lag: dict[TopicPartition, int] = {}
        consumer.pause(*self._partitions)

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and its lag at the beginning of the last burst."""
        for tp, records in self._lag.items():
            yield (tp.topic, str(tp.partition)), float(records)

    async def read(self) -> AsyncIterator[dict[TopicPartition, list[ConsumerRecord]]]:
        """Iterate over the batches of records since the last call. Raises KafkaError."""
        loop = asyncio.get_running_loop()
        ends = await self._consumer.end_offsets(self._partitions)
        self._lag = {tp: ends[tp] - await self._consumer.position(tp) for tp in self._partitions}
        behind = [tp for tp, records in self._lag.items() if records > 0]
        remaining = sum(self._lag.values())
        self._consumer.resume(*behind)
        try:
            while behind:
                high_lag = remaining > HIGH_LAG
                began = loop.time()
                batches = await self._consumer.getmany(
                    *behind, timeout_ms=100, max_records=LARGE_BATCH if high_lag else BATCH
                )
                if batches:
                    remaining -= sum(map(len, batches.values()))
                    yield batches
                    if not high_lag:
                        await asyncio.sleep(min(MAX_PAUSE, PAUSE_FACTOR * (loop.time() - began)))
                done = [tp for tp in behind if await self._consumer.position(tp) >= ends[tp]]
                self._consumer.pause(*done)
                behind = [tp for tp in behind if tp not in done]
        finally:
            self._consumer.pause(*behind)
