"""What a role may do on Kafka is what the table says: with that a whole mesh works, and nothing else is allowed."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError, for_code
from modelmesh.broker.embedded.server import free_port
from modelmesh.broker.kafka.acls import create_acls
from modelmesh.broker.kafka.connection import admin_client, make_consumer, make_producer
from modelmesh.broker.kafka.topics import ensure_topics
from modelmesh.cli.local.status import consumer_lag
from modelmesh.producers.client import PredictionClient
from modelmesh.producers.dead_letters import DeadLetters
from modelmesh.schemas.acls import ROLES, acls
from modelmesh.schemas.errors import BrokerUnavailable, Conflict, Forbidden, NotFound, Unauthorized
from modelmesh.sdk import AsyncModelMeshClient
from sklearn.linear_model import LogisticRegression

from ..integration.waiting import until
from .kafka_with_rights import GuardedMesh, broker, give_rights, kafka_acls, mesh_on, rights_of

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory):
    """A mesh with keys, on a Kafka that lets each role do what `modelmesh acls` says."""
    folder, port = tmp_path_factory.mktemp("rights"), free_port()
    kafka = broker(folder / "kafka", port)
    await kafka.start()
    try:
        await asyncio.to_thread(give_rights, kafka.bootstrap)
        async with mesh_on(port, folder / "mesh") as mesh:
            yield GuardedMesh(mesh, mesh.settings, kafka.bootstrap)
    finally:
        await kafka.stop()


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(60, 3))


async def command(guarded, *arguments):
    """Run a command that goes straight to Kafka, as the operator."""
    settings = guarded.as_role("operator")
    environment = os.environ | {
        "MODELMESH_KAFKA": settings.kafka,
        "MODELMESH_KAFKA_SECURITY": settings.kafka_security,
        "MODELMESH_KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism,
        "MODELMESH_KAFKA_USER": settings.kafka_user,
        "MODELMESH_KAFKA_PASSWORD": settings.kafka_password.get_secret_value(),
        "MODELMESH_DATA": str(settings.data),
    }
    words = [sys.executable, "-m", "modelmesh", *arguments]
    done = await asyncio.to_thread(subprocess.run, words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
async def sdk(guarded):
    made = json.loads(await command(guarded, "keys", "create", "tests", "--scope", "admin", "--json"))
    async with AsyncModelMeshClient(guarded.mesh.url, api_key=made["key"]) as client:

        async def known():
            with contextlib.suppress(Unauthorized):
                return await client.models() is not None

        await until(known, "the gateway knows the key")
        yield client


async def test_a_whole_mesh_works_with_each_roles_rights(guarded, sdk, rows):
    began = datetime.now(UTC) - timedelta(minutes=1)
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    await sdk.register_model("kept", model, sample=rows[:20], data=rows, cache_ttl_seconds=60)
    expected = [bool(label) for label in model.predict(rows)]
    for number in (0, 1, 1):
        assert (await sdk.predict("kept", rows[number], request_id=f"row-{number}")).label == expected[number]
    async with PredictionClient(guarded.as_role("client")) as client:
        for number in range(10):
            assert (await client.predict("kept", rows[number].tolist()))["outputs"]["label"] == [expected[number]]

    await sdk.register_model("kept", model, sample=rows[:20], data=rows)
    await sdk.create_canary("kept", "2.0.0", steps=[50, 60, 100], hold_seconds=0.2, min_requests=5)
    assert [(await sdk.predict("kept", row)).label for row in rows[:20]] == expected[:20]

    async def stepped_by_the_judge():
        for row in rows[:20]:
            await sdk.predict("kept", row)
        return any(event["kind"] in ("canary.stepped", "canary.promoted") for event in await sdk.history("kept"))

    await until(stepped_by_the_judge, "the control plane gives a command of its own")
    with contextlib.suppress(Conflict, NotFound):  # the judge may have been faster
        await sdk.promote_canary("kept")
    await sdk.counterfactual("kept", alpha=0.01)
    await sdk.create_shadow("kept", None, "1.0.0")
    assert [(await sdk.predict("kept", row)).label for row in rows[:20]] == expected[:20]

    async def compared():
        with contextlib.suppress(NotFound):
            return (await sdk.shadow("kept"))["paired"] > 0

    await until(compared, "the recorder pairs the shadow's answers")
    await sdk.stop_shadow("kept")

    async def written_down():
        with contextlib.suppress(NotFound):
            found = await sdk._http.request("GET", "/inference-log/row-0/records")
            return {record["topic"] for record in found["records"]} >= {"modelmesh.requests", "modelmesh.replies"}

    await until(written_down, "the request is in the inference log")
    await sdk.send_labels("kept", {"row-0": expected[0]})

    async def compared_with_labels():
        with contextlib.suppress(NotFound):
            return bool(await sdk.accuracy("kept"))

    await until(compared_with_labels, "the recorder compares the label")
    started = await sdk.start_replay("kept", "1.0.0", began)

    async def replayed():
        found = await sdk.replay(started["id"])
        assert found["state"] != "failed", found
        return found["state"] == "done"

    await until(replayed, "the gateway's replay is done")


async def test_what_cannot_be_read_is_put_aside_seen_and_sent_again(guarded, sdk):
    producer = make_producer(guarded.as_role("client"))
    await producer.start()
    await producer.send_and_wait(guarded.settings.topics().requests.name, b"no request", key=b"k")
    await producer.stop()

    async def put_aside():
        return len((await sdk._http.request("GET", "/dead-letters"))["dead_letters"]) > 0

    await until(put_aside, "the router puts it aside")
    (letter,) = json.loads(await command(guarded, "dead-letters", "list", "--json"))
    await command(guarded, "dead-letters", "redrive", str(letter["number"]))
    # A letter says itself where it came from: whoever sends it again must have the right to write there.
    letters = DeadLetters(guarded.as_role("gateway"))
    forged = replace(await letters.get(letter["number"]), source=f"{guarded.settings.topics().deployments.name}/0/0")
    with pytest.raises(Forbidden, match=r"modelmesh\.deployments"):
        await letters.redrive(forged)


async def test_what_an_operator_does_straight_on_kafka_and_over_http_works(guarded, sdk):
    await command(guarded, "chaos", "start", "latency", "--milliseconds", "1", "--for", "1")
    await command(guarded, "replay", "--model", "kept", "--from", "2020-01-01", "--version", "1.0.0", "--json")
    assert {each["group"] for each in await consumer_lag(guarded.as_role("operator"))} >= {"modelmesh.router"}
    made = json.loads(await command(guarded, "keys", "create", "second", "--scope", "predict", "--json"))
    await command(guarded, "keys", "revoke", made["id"])
    made = await sdk._http.request("POST", "/keys", json={"name": "third", "scopes": ["predict"]})
    await sdk._http.request("DELETE", f"/keys/{made['id']}")


async def test_a_model_goes_with_its_topic(guarded, sdk, rows):
    model = LogisticRegression().fit(rows, rows[:, 1] > 0)
    await sdk.register_model("gone", model, sample=rows[:20])
    await sdk.delete_model("gone")
    async with admin_client(guarded.as_role("gateway")) as admin:
        assert guarded.settings.topics().model("gone").name not in await admin.list_topics()


def granted(topics):
    """All (role, operation, topic) that the table grants, by name."""
    names = [topic.name for topic in topics] + [topics.model("kept").name]
    for acl in acls(topics):
        for name in names:
            if acl.resource == "topic" and (name.startswith(acl.name) if acl.prefixed else name == acl.name):
                yield from ((acl.role, operation, name) for operation in acl.operations)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_writes_to_no_other_topic(guarded, role):
    topics = guarded.settings.topics()
    mine = {name for who, operation, name in granted(topics) if (who, operation) == (role, "Write")}
    names = [topic.name for topic in topics] + [topics.model("kept").name]
    assert {topics.deployments.name, topics.keys.name, topics.commands.name} - mine
    producer = make_producer(guarded.as_role(role))
    await producer.start()
    try:
        for name in set(names) - mine:
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(name, b"forged", key=b"kept")
    finally:
        await producer.stop()


async def read_on(consumer):
    """Read until something is wrong."""
    async with asyncio.timeout(30):
        while True:
            await consumer.getmany(timeout_ms=500)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_reads_no_other_topic(guarded, role):
    """Most of them it does not even see; what it may only write, or ask about, gives it no record."""
    topics, settings = guarded.settings.topics(), guarded.as_role(role)
    names = [topic.name for topic in topics]
    mine = [(operation, name) for who, operation, name in granted(topics) if who == role]
    async with admin_client(settings) as admin:
        seen = {each["topic"] for each in await admin.describe_topics(names) if each["error_code"] == 0}
    assert seen == {name for _, name in mine} & set(names)
    for name in seen - {name for operation, name in mine if operation == "Read"}:
        consumer = make_consumer(settings)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(name, 0)])
            consumer.seek(TopicPartition(name, 0), 0)
            with pytest.raises(TopicAuthorizationFailedError):
                await read_on(consumer)
        finally:
            await consumer.stop()


@pytest.mark.parametrize("role", [role for role in ROLES if role not in ("control", "gateway")])
async def test_no_other_role_makes_or_deletes_topics(guarded, role):
    topics = guarded.settings.topics()
    async with admin_client(guarded.as_role(role)) as admin:
        made = await admin.create_topics([NewTopic(topics.model("new").name, 1, 1), NewTopic(topics.keys.name, 1, 1)])
        gone = await admin.delete_topics([topics.model("kept").name, topics.keys.name])
    assert {for_code(code) for _, code, *_ in made.topic_errors} == {TopicAuthorizationFailedError}
    assert {for_code(code) for _, code in gone.topic_error_codes} == {TopicAuthorizationFailedError}


@pytest.mark.parametrize("role", ["worker", "client", "gateway", "recorder"])
async def test_a_role_joins_no_other_group(guarded, role):
    settings = guarded.as_role(role)
    consumer = make_consumer(settings, settings.topics().requests.name, group="modelmesh.router")
    try:
        with pytest.raises((GroupAuthorizationFailedError, TopicAuthorizationFailedError)):
            await consumer.start()
    finally:
        await consumer.stop()


async def test_a_role_without_a_topic_is_told_what_it_lacks(guarded, monkeypatch):
    monkeypatch.setattr("modelmesh.broker.kafka.topics.DESCRIBE_TIMEOUT", 0.5)
    settings = guarded.as_role("worker")
    with pytest.raises(BrokerUnavailable, match=r"modelmesh-worker.*may not create them.*not-made.*modelmesh acls"):
        await ensure_topics(settings, [settings.topics().model("not-made")])
    with pytest.raises(BrokerUnavailable, match=r"may not be used.*modelmesh-worker.*modelmesh\.keys.*modelmesh acls"):
        await ensure_topics(settings, [settings.topics().keys])


async def test_a_role_gives_no_rights(guarded):
    before = await asyncio.to_thread(rights_of, guarded.owners, "modelmesh-")
    users = dict.fromkeys(ROLES, "modelmesh-worker")
    for role in ROLES:
        with pytest.raises(Forbidden, match=r"may not create ACLs.*super\.users"):
            await create_acls(guarded.as_role(role), acls(guarded.settings.topics()), users)
    assert await asyncio.to_thread(rights_of, guarded.owners, "modelmesh-") == before


async def test_what_is_printed_gives_the_same_rights_by_kafkas_own_tool(guarded, tmp_path):
    """The whole output goes into a shell, as docs/operations.md says, for users of other names."""
    tool = await asyncio.to_thread(kafka_acls, tmp_path)
    login = tmp_path / "admin.properties"
    login.write_text("security.protocol=PLAINTEXT\n")
    printed = await command(
        guarded, "acls", "--user-prefix", "tool-", "--bootstrap", guarded.owners, "--command-config", str(login)
    )
    given = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-e"],
        input=printed,
        env=os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert given.returncode == 0, given.stdout + given.stderr
    by_tool = await asyncio.to_thread(rights_of, guarded.owners, "tool-")
    assert by_tool == await asyncio.to_thread(rights_of, guarded.owners, "modelmesh-")
    assert by_tool == {
        (acl.role, acl.resource, acl.name, "prefixed" if acl.prefixed else "literal", operation.lower(), "*", "allow")
        for acl in acls(guarded.settings.topics())
        for operation in acl.operations
    }
