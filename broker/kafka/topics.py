"""Creates and deletes topics, and waits until that has taken effect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.errors import (
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from ...schemas.errors import BrokerUnavailable
from ...schemas.settings.mesh import MeshSettings
from ...schemas.topics import Topic
from .connection import admin_client

DESCRIBE_TIMEOUT = 20.0


async def ensure_topics(settings: MeshSettings, topics: Iterable[Topic]) -> None:
    """Create missing topics; return once each has a leader for every partition.

    A user without the right to create them waits until another has (see schemas/acls.py). Raises BrokerUnavailable when Kafka
    refuses, or on a timeout.
    """
    by_name = {topic.name: topic for topic in topics}
    async with admin_client(settings) as admin:
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=settings.replication,
                topic_configs=topic.broker_config(settings.max_record_bytes),
            )
            for topic in by_name.values()
            if topic.name not in existing
        ]
        if missing:
            response = await admin.create_topics(missing)
            for name, code, *message in response.topic_errors:
                error = for_code(code)
                if code and error not in (TopicAlreadyExistsError, TopicAuthorizationFailedError):
                    raise BrokerUnavailable(f"topic {name} could not be created: {message[0] if message else error}")
        deadline = asyncio.get_running_loop().time() + DESCRIBE_TIMEOUT
        while not _all_have_leaders(described := await admin.describe_topics(list(by_name))):
            if asyncio.get_running_loop().time() > deadline:
                raise BrokerUnavailable(_why_not(described, settings))
            await asyncio.sleep(0.05)


async def delete_topic(settings: MeshSettings, topic: Topic) -> None:
    """Delete a topic with its groups' offsets, and return once it is gone. A missing topic is not an error.

    Raises BrokerUnavailable when Kafka refuses, or on a timeout.
    """
    async with admin_client(settings) as admin:
        deadline = asyncio.get_running_loop().time() + DESCRIBE_TIMEOUT
        if topic.name in await admin.list_topics():
            response = await admin.delete_topics([topic.name])
            for name, code, *message in response.topic_error_codes:
                error = for_code(code)
                if code and error is not UnknownTopicOrPartitionError:
                    raise BrokerUnavailable(f"topic {name} could not be deleted: {message[0] if message else error}")
        while topic.name in await admin.list_topics():
            if asyncio.get_running_loop().time() > deadline:
                raise BrokerUnavailable(f"topic {topic.name} still exists after {DESCRIBE_TIMEOUT:.0f} s")
            await asyncio.sleep(0.05)


def _why_not(descriptions: list[dict[str, Any]], settings: MeshSettings) -> str:
    codes = {each["topic"]: for_code(each["error_code"]) for each in descriptions}
    for error, what in (
        (TopicAuthorizationFailedError, f"may not be used by the user {settings.kafka_user!r}"),
        (UnknownTopicOrPartitionError, f"do not exist, and the user {settings.kafka_user!r} may not create them"),
    ):
        names = sorted(name for name, code in codes.items() if code is error)
        if names:
            return f"topics {what}: {', '.join(names)}; `modelmesh acls` lists what each role needs"
    return f"topics were created but have no leaders after {DESCRIBE_TIMEOUT:.0f} s"


def _all_have_leaders(descriptions: list[dict[str, object]]) -> bool:
    return all(
        description["error_code"] == 0
        and description["partitions"]
        and all(partition["error_code"] == 0 and partition["leader"] >= 0 for partition in description["partitions"])  # type: ignore[attr-defined]
        for description in descriptions
    )
