"""A command that is repeated with its Idempotency-Key has the id of the first, so that it is not carried out twice."""

import asyncio
import contextlib
import json

import pytest
from modelmesh.access.caller import Caller, caller
from modelmesh.broker.kafka.outbox import Outbox
from modelmesh.gateway.command_client import CommandClient
from modelmesh.gateway.idempotency_key import idempotency_key
from modelmesh.schemas.errors import ControlPlaneUnavailable
from modelmesh.schemas.settings import Settings

from ..releases import command


class Sent(Outbox):
    """Keeps what is sent."""

    def __init__(self):
        self.commands = []

    def send(self, topic, value, **options):
        self.commands.append(json.loads(value))


async def sent_id(key="", who="k1", kind="remove", **fields):
    outbox = Sent()
    client = CommandClient(Settings(command_timeout=0.01), outbox)
    with contextlib.ExitStack() as stack:
        for variable, value in ((idempotency_key, key), (caller, Caller(key=who))):
            stack.callback(variable.reset, variable.set(value))
        with pytest.raises(ControlPlaneUnavailable, match="whether the command took effect is not known"):
            await client.execute(command(kind, "given", **fields))
    return outbox.commands[0]["command_id"]


async def test_the_id_is_the_callers_keys():
    first = await sent_id("once")
    assert first == await sent_id("once") != "given"
    others = await asyncio.gather(
        sent_id("twice"), sent_id("once", who="k2"), sent_id("once", kind="rollback", reason="")
    )
    assert len({first, *others}) == 4


async def test_without_a_key_each_command_has_an_id_of_its_own():
    assert await sent_id() == "given"
