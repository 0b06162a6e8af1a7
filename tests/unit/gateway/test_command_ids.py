"""A command that is repeated with its Idempotency-Key is not carried out twice, and gets the first one's answer."""

import asyncio
import contextlib
import json
from types import SimpleNamespace

import pytest
from modelmesh.access.caller import Caller, caller
from modelmesh.broker.kafka.outbox import Outbox
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.gateway.command_client import CommandClient
from modelmesh.gateway.idempotency_key import idempotency_key
from modelmesh.schemas.errors import ControlPlaneUnavailable
from modelmesh.schemas.payloads.commands import read_command
from modelmesh.schemas.settings import Settings

from ..releases import command, spec


class Sent(Outbox):
    """Keeps what is sent."""

    def __init__(self):
        self.commands = []

    def send(self, topic, value, **options):
        self.commands.append(value)


@contextlib.contextmanager
def asked_with(key, who):
    with contextlib.ExitStack() as stack:
        for variable, value in ((idempotency_key, key), (caller, Caller(key=who))):
            stack.callback(variable.reset, variable.set(value))
        yield


async def sent_key(key="", who="k1", kind="remove", **fields):
    outbox = Sent()
    client = CommandClient(Settings(command_timeout=0.01), outbox)
    with (
        asked_with(key, who),
        pytest.raises(ControlPlaneUnavailable, match="whether the command took effect is not known"),
    ):
        await client.execute(command(kind, "given", **fields))
    assert not client._waiting
    assert not client._repeated
    return json.loads(outbox.commands[0])["repeat_key"]


async def test_repetitions_have_a_key_in_common_and_other_requests_have_not():
    first = await sent_key("once")
    assert first == await sent_key("once") != ""
    others = await asyncio.gather(
        sent_key("twice"), sent_key("once", who="k2"), sent_key("once", kind="rollback", reason="")
    )
    assert len({first, *others}) == 4
    assert await sent_key() == ""


async def test_only_the_answer_of_an_attempt_that_took_effect_ends_the_wait_for_another():
    outbox = Sent()
    client = CommandClient(Settings(command_timeout=30.0), outbox)
    with asked_with("once", "k1"):
        waiting = asyncio.create_task(client.execute(command("deploy", "second", version=spec("1.0.0"))))
        await asyncio.sleep(0)
    first = read_command(outbox.commands[0]).model_copy(update={"command_id": "first"})
    for now, ended in ((1000.0, False), (1.0, True)):  # expired, and in time
        _, event = step(ReleaseState(), first, now)
        assert (event.problem is None) == ended
        client._on_record(SimpleNamespace(value=event.model_dump_json().encode()))
        await asyncio.sleep(0)
        assert client._repeated[first.repeat_key].done() == ended
    assert (await waiting).command_id == "first"
