"""Each partition's next offset, stored in the database in the same transaction as its rows."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..broker.kafka.catch_up_reader import CatchUpReader
from ..broker.kafka.connection import partitions_of
from ..registry.storage.database import Base, LogOffsetRow, upsert
from ..schemas.topics import Topic

_OFFSETS = Base.metadata.tables[LogOffsetRow.__tablename__]


async def read_offsets(engine: AsyncEngine) -> dict[TopicPartition, int]:
    """Return the next offset of each partition that has one."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(_OFFSETS))
        return {TopicPartition(row.topic, row.partition): row.offset for row in rows}


async def move_offsets(connection: AsyncConnection, offsets: dict[TopicPartition, int]) -> None:
    """Store the partitions' next offsets; they only move forward."""
    insert = upsert(connection)(_OFFSETS)
    new = insert.excluded
    moved = insert.on_conflict_do_update(
        index_elements=["topic", "partition"],
        set_={"offset": new.offset},
        where=_OFFSETS.c.offset < new.offset,
    )
    rows = [{"topic": tp.topic, "partition": tp.partition, "offset": offset} for tp, offset in offsets.items()]
    if rows:
        await connection.execute(moved, rows)


async def reader_from(consumer: AIOKafkaConsumer, engine: AsyncEngine, *topics: Topic) -> CatchUpReader:
    """Return a reader of the topics that resumes at the stored offsets, or at the beginning."""
    partitions = partitions_of(*topics)
    consumer.assign(partitions)
    known = await read_offsets(engine)
    beginnings = await consumer.beginning_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, max(known.get(partition, 0), beginnings[partition]))
    return CatchUpReader(consumer, partitions)
