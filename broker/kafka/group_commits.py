"""What a consumer group has committed, with the metadata that a consumer alone does not get to see."""

from __future__ import annotations

from aiokafka import OffsetAndMetadata, TopicPartition

from ...schemas.settings import Settings
from .connection import admin_client
from .consume_loop import ReadCommits


def commits_of(settings: Settings, group: str) -> ReadCommits:
    """Return a function that reads the group's commits of some partitions. It raises KafkaError or BrokerUnavailable."""

    async def read(partitions: list[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        async with admin_client(settings) as admin:
            found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
                group, partitions=partitions
            )
            return found

    return read
