"""Records of all sizes, codecs and headers on each topic: roles survive, and malformed records become dead letters."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from modelmesh.broker.kafka.topic_follower import TopicFollower
from modelmesh.cli.local.status import mesh_status
from modelmesh.producers.dead_letters import DeadLetters
from modelmesh.schemas import records
from modelmesh.schemas.errors import RequestTooLarge
from modelmesh.schemas.records import PredictionRequest

from ..waiting import until

HEADERS = [[], [("h", b"\xff" * 1000)] * 300, [(records.ID, b"\xff"), (records.REDRIVES, b"1")], [("null", None)]]


async def starts(mesh):
    return {role["name"]: role["starts"] for role in (await mesh_status(mesh.settings))["roles"]}


async def send_sizes(settings, topic):
    """Send junk of many sizes; return the sources of all records of it."""
    sent = []
    largest = settings.max_record_bytes - 512 * 1024
    sizes = {
        None: (0, 1, 100_000, largest),
        "gzip": (12_000_000, 60_000_000),
        "lz4": (12_000_000,),
        "zstd": (12_000_000,),
    }
    for codec, lengths in sizes.items():
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka,
            compression_type=codec,
            max_request_size=100_000_000,
            max_batch_size=100_000_000,
        )
        async with producer:
            for number, length in enumerate(lengths):
                headers = HEADERS[number % len(HEADERS)]
                taken = await producer.send_and_wait(
                    topic.name, bytes(length), key=b"junk", headers=headers, partition=0
                )
                sent.append(f"{taken.topic}/{taken.partition}/{taken.offset}")
    return sent


@pytest.mark.timeout(300)
async def test_sizes_on_every_topic_stop_nobody(mesh, sdk, kafka_client, forest, cancer):
    rows, _, model = cancer
    settings, topics = mesh.settings, mesh.settings.topics()
    before = await starts(mesh)
    # Who reads what: the other topics are only read where a shadow runs, or by the router that a partition belongs to.
    put_aside = [
        topics.requests, topics.model(forest), topics.observations, topics.commands, topics.deployments,
        topics.events, topics.replicas, topics.statistics, topics.keys, topics.chaos, topics.labels, topics.replies,
    ]  # fmt: skip
    expected = set()
    for topic in (*put_aside, topics.shadow_replies, topics.cache_fills):
        sent = await send_sizes(settings, topic)
        expected |= set(sent) if topic in put_aside else set()
        answer = await kafka_client.predict(forest, rows[0].tolist(), deadline=30)
        assert answer["outputs"]["label"] == model.predict(rows[:1]).tolist(), topic.name
    assert (await sdk.deploy(forest, "1.0.0"))["event"]["kind"] == "release.deployed"

    async def named():
        return expected <= {letter.source for letter in await DeadLetters(settings).list()}

    await until(named, "the junk of every topic is among the dead letters", 120)
    assert await starts(mesh) == before
    cut = [letter for letter in await DeadLetters(settings).list() if letter.source in expected and letter.cut]
    assert cut
    with pytest.raises(RequestTooLarge, match="cannot be sent again"):
        await DeadLetters(settings).redrive(cut[0])


@pytest.mark.parametrize("size", [1, 8_000_000])
async def test_a_request_larger_than_may_be_is_413_on_every_road(mesh, http, kafka_client, forest, size):
    body = b'{"inputs": [' + b" " * (mesh.settings.max_body_bytes + size) + b"]}"
    with pytest.raises(RequestTooLarge, match="max_body_bytes"):
        await kafka_client.send(forest, body)
    async with http.post(f"/predict/{forest}", data=body) as answer:
        assert answer.status == 413
    # One who does not ask our client first: compressed, it is small on the wire.
    request = PredictionRequest(
        f"larger-{size}", forest, 1e12, mesh.settings.topics().replies.name, kafka_client.reply_partition, body
    )
    found = asyncio.get_running_loop().create_future()

    def look(record):
        if dict(record.headers).get(records.ID) == request.request_id.encode() and not found.done():
            found.set_result(records.Reply.from_record(record.headers, record.value))

    follower = TopicFollower(mesh.settings, mesh.settings.topics().replies, look, from_end=True)
    following = asyncio.create_task(follower.run())
    await follower.ready.wait()
    async with AIOKafkaProducer(
        bootstrap_servers=mesh.settings.kafka, compression_type="gzip", max_request_size=100_000_000
    ) as producer:
        await producer.send_and_wait(mesh.settings.topics().requests.name, body, headers=request.headers())
    assert (await asyncio.wait_for(found, 30)).status == 413
    following.cancel()
