"""Requests that change nothing are retried when the connection breaks; changes never are."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from modelmesh.schemas.errors import ModelNotFound, Unavailable
from modelmesh.sdk.gateway_session import RETRIES, GatewaySession

PROBLEM = b'{"code":"model_not_found","status":404,"detail":"no"}'


@asynccontextmanager
async def breaking(times, answer=b'{"well": 1}', status="200 OK"):
    """A server that breaks the first `times` connections; yields a session with it and the methods of the requests it saw."""
    seen = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head.split()[0].decode())
        if len(seen) > times:
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode() + answer
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = GatewaySession(f"http://127.0.0.1:{port}", timeout=5, api_key="", ca=None)
    session.open()
    try:
        yield session, seen
    finally:
        await session.close()
        server.close()


@pytest.mark.parametrize(("method", "path"), [("GET", "/models"), ("POST", "/predict/m")])
async def test_reading_and_predicting_go_on_through_broken_connections(method, path):
    async with breaking(RETRIES) as (session, seen):
        assert await session.request(method, path) == {"well": 1}
    assert seen == [method] * (RETRIES + 1)


async def test_after_the_last_retry_it_raises_unavailable():
    async with breaking(100) as (session, seen):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await session.request("GET", "/models")
    assert len(seen) > RETRIES  # aiohttp itself retries once


async def test_a_change_is_not_sent_again():
    async with breaking(1) as (session, seen):
        with pytest.raises(Unavailable, match="modelmesh up"):
            await session.request("POST", "/deployments", json={})
    assert seen == ["POST"]


async def test_a_problem_is_an_answer():
    async with breaking(0, PROBLEM, "404 Not Found") as (session, seen):
        with pytest.raises(ModelNotFound, match="no"):
            await session.request("GET", "/models/m")
    assert len(seen) == 1
