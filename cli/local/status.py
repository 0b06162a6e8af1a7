"""Status of a mesh on this machine: its processes, their health, and consumer lag."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson
import psutil
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from ...broker.kafka.connection import admin_client, make_consumer
from ...schemas.errors import BrokerUnavailable, NotFound
from ...schemas.settings import Settings
from .supervisor import state_file

TIMEOUT = aiohttp.ClientTimeout(total=3)


async def mesh_status(settings: Settings) -> dict[str, Any]:
    """Return roles with pid and health, and the lag of each consumer group.

    Raises NotFound if no mesh was started on the data folder.
    """
    path = state_file(settings.data)
    try:
        state = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        raise NotFound(
            f"no mesh runs on {settings.data}: start one with `modelmesh up --data {settings.data}`"
        ) from None
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        roles = await asyncio.gather(*(_role(session, member) for member in state["members"]))
    try:
        lag = await consumer_lag(settings.model_copy(update={"kafka": state["kafka"], "prefix": state["prefix"]}))
    except (BrokerUnavailable, KafkaError):
        lag = []
    return {
        "healthy": all(role["health"] == "ready" for role in roles),
        "url": state["url"],
        "kafka": state["kafka"],
        "roles": list(roles),
        "lag": lag,
    }


async def _role(session: aiohttp.ClientSession, member: dict[str, Any]) -> dict[str, Any]:
    if member["pid"] is None or not psutil.pid_exists(member["pid"]):
        health = "dead"
    else:
        try:
            async with session.get(f"http://127.0.0.1:{member['admin_port']}/health") as response:
                health = "ready" if response.status == 200 else "not ready"
        except (aiohttp.ClientError, TimeoutError):
            health = "no answer"
    return {**{key: member[key] for key in ("role", "name", "pid", "starts")}, "health": health}


async def consumer_lag(settings: Settings) -> list[dict[str, Any]]:
    """Return the lag in records of each consumer group of the mesh, by topic."""
    async with admin_client(settings) as admin:
        groups = sorted(name for name, *_ in await admin.list_consumer_groups() if name.startswith(settings.prefix))
        topics = set(await admin.list_topics())
        committed = {group: await admin.list_consumer_group_offsets(group) for group in groups}
    # The topic of a deleted model has no end offsets.
    partitions: list[TopicPartition] = sorted(
        {partition for offsets in committed.values() for partition in offsets if partition.topic in topics}
    )
    if not partitions:
        return []
    consumer = make_consumer(settings)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    lag: dict[tuple[str, str], int] = {}
    for group, offsets in committed.items():
        for partition, metadata in offsets.items():
            if partition not in ends:
                continue
            behind = max(0, ends[partition] - max(0, metadata.offset))
            lag[group, partition.topic] = lag.get((group, partition.topic), 0) + behind
    return [{"group": group, "topic": topic, "lag": behind} for (group, topic), behind in sorted(lag.items())]
