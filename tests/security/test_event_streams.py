"""Streams end with their key, and each key has so many: at the real gateway's application, without a mesh."""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import aiohttp
import pytest
from modelmesh.schemas.payloads.event_data import DeployedData
from modelmesh.schemas.payloads.events import ReleaseDeployed

from .gateway_alone import gateway_alone

PATHS = ["/events", "/ui/stream", "/v1/events", "/v1/ui/stream"]


@pytest.fixture
async def alone(tmp_path):
    async with gateway_alone(tmp_path, auth="keys", kafka="127.0.0.1:1", streams_per_key=3) as running:
        yield running


@contextlib.asynccontextmanager
async def client(alone, key):
    async with aiohttp.ClientSession(alone.url, headers={"X-API-Key": key}) as session:
        yield session


def happens(alone, model, summary):
    data = DeployedData(strategy="full", version="1.0.0", trial=1)
    event = ReleaseDeployed(event_id="1", model=model, at=1.0, summary=summary, data=data)
    alone.gateway._commands._on_record(SimpleNamespace(value=event.model_dump_json().encode()))


def change(alone, shown, **columns):
    keys = alone.gateway._keys.keys
    identity = shown.split("_")[1]
    keys[identity] = keys[identity].model_copy(update=columns)


async def rest_of(answer):
    """All that comes until the stream ends."""
    async with asyncio.timeout(60):
        return await answer.content.read()


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_ends_when_its_key_is_revoked(alone, path):
    shown, other = alone.key("admin"), alone.key("admin")
    async with client(alone, shown) as session, client(alone, other) as others:
        async with session.get(path) as answer, others.get(path) as kept:
            assert answer.status == kept.status == 200
            await answer.content.readany()
            change(alone, shown, revoked_at=time.time())
            happens(alone, "m", "after it was revoked")
            text = await rest_of(answer)
            assert b"after it was revoked" not in text
            assert b"event: end" in text
            assert b"revoked" in text
            async with asyncio.timeout(60):
                seen = b""
                while b"after it was revoked" not in seen:
                    seen += await kept.content.readany()
        async with session.get(path) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("path", PATHS)
async def test_a_quiet_stream_ends_when_its_key_expires(alone, path):
    shown = alone.key("admin", expires_at=time.time() + 2.0)
    async with client(alone, shown) as session, session.get(path) as answer:
        assert answer.status == 200
        assert b"expired" in (await rest_of(answer)).rpartition(b"event: end")[2]
    assert not alone.gateway._commands._listeners


async def test_a_key_has_so_many_streams_of_all_kinds_and_gives_them_back(alone):
    shown = alone.key("admin")
    async with client(alone, shown) as session, client(alone, alone.key("admin")) as others:
        opened = [await session.get(path) for path in PATHS[:3]]
        async with session.get("/events") as answer:
            document = await answer.json()
            assert (answer.status, document["code"]) == (429, "rate_limited")
            assert "3 open streams" in document["detail"]
            assert answer.headers["Retry-After"]
        async with others.get("/events") as answer:
            assert answer.status == 200, "another key has its own"
        opened.pop().close()
        async with asyncio.timeout(60):
            while (again := await session.get("/ui/stream")).status != 200:
                again.close()
                await asyncio.sleep(0.05)
        for answer in (again, *opened):
            answer.close()


async def test_those_who_are_for_one_model_hear_of_it_alone(alone):
    async with client(alone, alone.key("deploy", models=("m",))) as session:
        for path in PATHS:
            async with session.get(path) as answer:
                await answer.content.readany()
                happens(alone, "other", "of the other")
                happens(alone, "", "of the service")
                happens(alone, "m", "of its own")
                seen = b""
                async with asyncio.timeout(60):
                    while b"of its own" not in seen:
                        seen += await answer.content.readany()
                assert b"other" not in seen
                assert b"service" not in seen
