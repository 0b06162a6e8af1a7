"""Read many partitions in bursts, for those who can wait a moment.

A consumer that polls leaves a fetch waiting at the broker, and each record that is produced to any of its partitions has
the broker look at all of them: with 64 partitions that was half of the primary's tail latency. Between two bursts this
reader asks for nothing, and within one it rests after each piece, so that whoever answers requests gets the cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ...schemas.settings.mesh import MeshSettings
from ...schemas.topics import Topic
from .connection import make_consumer

FETCH_BYTES = 256 * 1024
# Records that are handed over at once, and how long the reader rests after that: so many times what they took.
PIECE, RESTS, LONGEST_REST = 100, 3.0, 0.05
# With more records than this to read there is no resting: who falls behind must catch up, in larger pieces.
BEHIND, LARGE_PIECE = 5_000, 2_000


def catch_up_consumer(settings: MeshSettings) -> AIOKafkaConsumer:
    """Return a consumer for a CatchUpReader, not started yet: what is there comes at once, in large pieces."""
    return make_consumer(settings, fetch_min_bytes=FETCH_BYTES, fetch_max_wait_ms=5)


def partitions_of(*topics: Topic) -> list[TopicPartition]:
    """Return all partitions of the topics."""
    return [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]


class CatchUpReader:
    """Reads the partitions that a started consumer has been given and positioned on."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = list(partitions)
        self._lag: dict[TopicPartition, int] = {}
        consumer.pause(*self._partitions)

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and the records that waited when the last burst began."""
        for tp, records in self._lag.items():
            yield (tp.topic, str(tp.partition)), float(records)

    async def read(self) -> AsyncIterator[dict[TopicPartition, list[ConsumerRecord]]]:
        """Iterate over what has come since the last time, piece by piece. Raises KafkaError."""
        loop = asyncio.get_running_loop()
        ends = await self._consumer.end_offsets(self._partitions)
        self._lag = {tp: ends[tp] - await self._consumer.position(tp) for tp in self._partitions}
        behind = [tp for tp, records in self._lag.items() if records > 0]
        left = sum(self._lag.values())
        self._consumer.resume(*behind)
        try:
            while behind:
                hurried = left > BEHIND
                began = loop.time()
                batches = await self._consumer.getmany(
                    *behind, timeout_ms=100, max_records=LARGE_PIECE if hurried else PIECE
                )
                if batches:
                    left -= sum(map(len, batches.values()))
                    yield batches
                    if not hurried:
                        await asyncio.sleep(min(LONGEST_REST, RESTS * (loop.time() - began)))
                done = [tp for tp in behind if await self._consumer.position(tp) >= ends[tp]]
                self._consumer.pause(*done)
                behind = [tp for tp in behind if tp not in done]
        finally:
            self._consumer.pause(*behind)
