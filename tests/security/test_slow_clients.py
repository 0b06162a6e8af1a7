"""A client that takes its time with a request holds a connection for seconds, not for as long as it likes."""

import asyncio

import pytest

from ..integration.waiting import until
from .gateway_alone import gateway_alone


@pytest.fixture(scope="module")
async def alone(tmp_path_factory):
    async with gateway_alone(tmp_path_factory.mktemp("slow"), auth="keys", max_body_bytes=2000) as running:
        yield running


async def test_half_a_header_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("modelmesh.telemetry.timely_site.HEADER_SECONDS", 0.3)
    whole = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with gateway_alone(tmp_path) as quick:
        for sent in (b"", b"GET /hea", whole[:-2]):
            assert await asyncio.wait_for(quick.raw(sent), 60) == (0, b"")
        with monkeypatch.context() as patched:
            patched.setattr("modelmesh.telemetry.timely_site.KEEPALIVE_SECONDS", 0.3)
            for sent, answers in ((whole + b"GET /", 1), (whole + whole + b"G", 2)):
                status, answer = await asyncio.wait_for(quick.raw(sent), 60)
                assert answer.count(b"HTTP/1.1 200") == answers, (sent, status, answer)
        # Whoever drips a byte now and then gets no more time, and an idle connection that has said nothing new is kept.
        reader, writer = await asyncio.open_connection("127.0.0.1", quick.port)
        ended = False
        try:
            for byte in whole[:-2] * 100:
                writer.write(bytes((byte,)))
                await writer.drain()
                if ended := reader.at_eof():
                    break
                await asyncio.sleep(0.01)
        except ConnectionError:  # a byte came after the end: it is answered with a reset
            ended = True
        assert ended
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", quick.port)
        for _ in range(2):
            writer.write(whole)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"}")
            await asyncio.sleep(0.6)
        writer.close()


async def test_a_body_that_drips_in_ends_and_counts_while_it_comes(alone, monkeypatch):
    monkeypatch.setattr("modelmesh.gateway.predict.http_requests.BODY_TIMEOUT", 0.3)
    head = (
        b"POST /predict/m HTTP/1.1\r\nHost: x\r\n"
        + b"X-API-Key: "
        + alone.key("predict").encode()
        + b"\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
    )
    asking = asyncio.create_task(alone.raw(head + b"x" * 600))

    async def counted():
        return alone.taken["bytes"] == 600

    async def given_back():
        return alone.taken["bytes"] == 0

    await until(counted, "what has come of the body is counted")
    await until(given_back, "it is given back")
    status, answer = await asking
    assert status == 408, answer
