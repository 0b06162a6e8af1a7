"""Connections to Kafka: admin clients, producers and consumers with the settings that all roles share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from ...schemas.errors import BrokerUnavailable
from ...schemas.settings.mesh import MeshSettings
from ...schemas.topics import Topic
from .backoff_producer import BackoffProducer
from .security import security_options
from .tolerant_records import read_tolerantly

# Returns the offsets and metadata that a group has committed for partitions.
ReadCommits: TypeAlias = Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, OffsetAndMetadata]]]

# aiokafka logs an error for each failed connection to a broker that is still starting.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@contextlib.asynccontextmanager
async def admin_client(settings: MeshSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client for the block. Raises BrokerUnavailable."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka, request_timeout_ms=10_000, **security_options(settings)
    )
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise BrokerUnavailable(
            f"Kafka at {settings.kafka} cannot be reached: {error}. Is it running? (MODELMESH_KAFKA is its address)"
        ) from error
    try:
        yield admin
    finally:
        await admin.close()


def partitions_of(*topics: Topic) -> list[TopicPartition]:
    """Return all partitions of the topics."""
    return [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]


def group_commits(settings: MeshSettings, group: str) -> ReadCommits:
    """Return a function that reads a group's commits with their metadata, which aiokafka's consumer does not expose.

    It raises KafkaError or BrokerUnavailable.
    """

    async def read(partitions: list[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        async with admin_client(settings) as admin:
            found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
                group, partitions=partitions
            )
            return found

    return read


async def wait_until_answers(settings: MeshSettings, timeout: float) -> None:
    """Return once the broker answers with metadata, not only accepts connections. Raises BrokerUnavailable."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    last: Exception | None = None
    while True:
        try:
            async with admin_client(settings) as admin:
                if (await admin.describe_cluster())["brokers"]:
                    return
        except (BrokerUnavailable, KafkaError) as error:
            last = error.__cause__ if isinstance(error.__cause__, Exception) else error
        if loop.time() > deadline:
            why = f" (last error: {last})" if last is not None else ""
            raise BrokerUnavailable(f"Kafka at {settings.kafka} did not answer within {timeout:.0f} s{why}")
        await asyncio.sleep(0.1)


def make_producer(settings: MeshSettings) -> AIOKafkaProducer:
    """Return an unstarted idempotent producer."""
    return BackoffProducer(
        bootstrap_servers=settings.kafka,
        **security_options(settings),
        client_id=settings.name,
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_request_size=settings.max_record_bytes,
        max_batch_size=256 * 1024,
    )


async def start_producer(producer: AIOKafkaProducer, settings: MeshSettings) -> None:
    """Start a producer. Raises BrokerUnavailable."""
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"Kafka at {settings.kafka} cannot be reached: {error}") from error


def make_consumer(settings: MeshSettings, *topics: str, group: str | None = None, **options: Any) -> AIOKafkaConsumer:
    """Return an unstarted consumer without auto-commit; a member of `group` if one is given.

    A replica with a configured name is a static member: if it restarts within the session timeout, it gets its partitions
    back without a rebalance.
    """
    options.setdefault("fetch_max_wait_ms", 500)
    read_tolerantly(4 * settings.max_record_bytes)
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=settings.kafka,
        **security_options(settings),
        client_id=settings.name,
        group_id=group,
        group_instance_id=settings.instance if group is not None else None,
        partition_assignment_strategy=(StickyPartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(settings.session_timeout * 1000),
        heartbeat_interval_ms=500,
        max_partition_fetch_bytes=max(1024 * 1024, settings.max_record_bytes),
        **options,
    )
