"""Reads the records of a topic between two times, outside of any group."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ...schemas.settings.mesh import MeshSettings
from ...schemas.topics import Topic
from .connection import make_consumer, partitions_of

FETCH = 2000


async def read_time_range(
    settings: MeshSettings, topic: Topic, begin: float, end: float
) -> AsyncIterator[ConsumerRecord]:
    """Iterate over the records between two times, partition after partition, so the order is deterministic.

    Times are in seconds since the epoch; a future time means the end of the log.
    """
    # A fetch that waits for more records would delay the first fetch of the next partition.
    consumer = make_consumer(settings, fetch_max_wait_ms=5)
    await consumer.start()
    try:
        partitions = partitions_of(topic)
        firsts = await _offsets(consumer, partitions, begin)
        lasts = await _offsets(consumer, partitions, end)
        for partition in partitions:
            if firsts[partition] >= lasts[partition]:
                continue
            consumer.assign([partition])
            consumer.seek(partition, firsts[partition])
            at = firsts[partition]
            while at < lasts[partition]:
                batches = await consumer.getmany(partition, timeout_ms=1000, max_records=FETCH)
                for record in batches.get(partition, ()):
                    if record.offset >= lasts[partition]:
                        break
                    yield record
                at = await consumer.position(partition)
    finally:
        await consumer.stop()


async def _offsets(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], at: float
) -> dict[TopicPartition, int]:
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    found = await consumer.offsets_for_times({partition: int(1000 * at) for partition in partitions})
    return {p: found[p].offset if found.get(p) is not None else ends[p] for p in partitions}
