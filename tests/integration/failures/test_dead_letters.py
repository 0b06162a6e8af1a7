"""Records that cannot be read: listed, shown and sent again, by the client and from the shell."""

import json
from uuid import uuid4

import pytest
from modelmesh.broker.kafka.connection import make_producer
from modelmesh.producers.dead_letters import DeadLetters
from modelmesh.schemas import records
from modelmesh.schemas.errors import (
    InvalidInput,
    NotFound,
)

from ..waiting import until


async def put_malformed(mesh):
    """Put a request without a model on the log; return what its id header says."""
    mark = uuid4().hex
    producer = make_producer(mesh.settings)
    await producer.start()
    try:
        topic = mesh.settings.topics().requests.name
        await producer.send_and_wait(topic, b"{}", key=b"k", headers=[(records.ID, mark.encode())])
    finally:
        await producer.stop()
    return mark


async def test_dead_letters_are_listed_shown_and_sent_again(mesh, forest):
    mark = await put_malformed(mesh)
    letters = DeadLetters(mesh.settings)
    found = []

    async def there():
        found[:] = [letter for letter in await letters.list() if (records.ID, mark.encode()) in letter.headers]
        return bool(found)

    await until(there, "the dead letter")
    assert found[0].topic == mesh.settings.topics().requests.name
    assert (found[0].key, found[0].value) == (b"k", b"{}")
    assert "mm-model is missing" in found[0].reason
    assert await letters.redrive(found[0]) is None

    async def came_back():
        found[:] = [letter for letter in await letters.list() if (records.ID, mark.encode()) in letter.headers]
        return len(found) == 2  # as it was when it came the first time

    await until(came_back, "the record again")
    assert [letter.redriven for letter in found] == [True, False]


async def test_dead_letters_and_faults_from_the_shell(mesh, modelmesh):
    mark = await put_malformed(mesh)
    letters = []

    async def listed():
        letters[:] = json.loads(await modelmesh("dead-letters", "list", "--json"))
        return any([records.ID, mark] in letter["headers"] for letter in letters)

    await until(listed, "the dead letter")
    number = letters[-1]["number"]
    assert "reason:" in await modelmesh("dead-letters", "show", str(number))
    with pytest.raises(NotFound, match="there is no dead letter 999999"):
        await modelmesh("dead-letters", "show", "999999")
    started = await modelmesh("chaos", "start", "error", "--model", "nobody", "--for", "60")
    fault_id = started.split(":")[0]
    assert [fault["fault_id"] for fault in json.loads(await modelmesh("chaos", "list", "--json"))] == [fault_id]
    assert "is stopped" in await modelmesh("chaos", "stop", fault_id)
    assert "no fault is active" in await modelmesh("chaos", "list")
    with pytest.raises(InvalidInput, match="kind must be one of"):
        await modelmesh("chaos", "start", "earthquake")
