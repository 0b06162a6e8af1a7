"""The floor: what three Kafka hops cost when nothing is done on the way.

A request, two relays that copy key, headers and value to the next topic, and a client that awaits the copy under its id:
plain aiokafka with uvloop, idempotent producers, acks=all and no commits; one process for each relay. Whatever ModelMesh
does (routing, batching, a model, deadlines, commits, HTTP) comes on top of this.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from modelmesh.broker.kafka.topics import ensure_topics
from modelmesh.producers.load_generator import Ask
from modelmesh.schemas.settings import Settings
from modelmesh.schemas.topics import Topic

HOPS = ("floor.requests", "floor.work", "floor.replies")
PARTITIONS = 8


def _producer(kafka: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True, linger_ms=0)


async def _consumer(kafka: str, topic: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="latest")
    await consumer.start()
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    await consumer.seek_to_end(*partitions)
    return consumer


async def relay(kafka: str, source: str, target: str) -> None:
    """Copy records from one topic to the next until the process is stopped."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    producer, consumer = _producer(kafka), await _consumer(kafka, source)
    await producer.start()
    print("ready", flush=True)
    while not stop.is_set():
        for partition, records in (await consumer.getmany(timeout_ms=200)).items():
            for record in records:
                await producer.send(
                    target, record.value, key=record.key, headers=list(record.headers), partition=partition.partition
                )
    await consumer.stop()
    await producer.stop()


@contextlib.asynccontextmanager
async def asking_floor(kafka: str, body: bytes) -> AsyncIterator[Ask]:
    """Start the two relays; yield what sends one record round and awaits it."""
    hour = timedelta(hours=1)
    topics = [
        Topic(name, PARTITIONS, hour, key="request id", written_by="relay", read_by="relay", holds="copies")
        for name in HOPS
    ]
    await ensure_topics(Settings(kafka=kafka), topics)
    relays = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.floor", kafka, source, target, stdout=asyncio.subprocess.PIPE
        )
        for source, target in itertools.pairwise(HOPS)
    ]
    for process in relays:
        assert process.stdout is not None
        await process.stdout.readline()
    producer, consumer = _producer(kafka), await _consumer(kafka, HOPS[-1])
    await producer.start()
    pending: dict[bytes, asyncio.Future[None]] = {}
    headers = [("mm-id", b"0" * 32), ("mm-model", b"floor"), ("mm-deadline", b"1700000000000")]

    async def receive() -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    if (future := pending.pop(record.key, None)) is not None:
                        future.set_result(None)

    async def ask(number: int) -> int:
        key = b"%d" % number
        future = pending[key] = asyncio.get_running_loop().create_future()
        await producer.send(HOPS[0], body, key=key, headers=headers, partition=number // 64 % PARTITIONS)
        await future
        return 1

    receiving = asyncio.create_task(receive())
    try:
        yield ask
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        for process in relays:
            process.terminate()
            await process.wait()
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    uvloop.run(relay(*sys.argv[1:4]))
