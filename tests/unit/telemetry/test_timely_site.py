"""The time limit of a request's headers does not count for a connection that is idle between two requests."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from modelmesh.telemetry import timely_site
from modelmesh.telemetry.timely_site import TimelySite

HEADERS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
LIMIT = 0.2


@asynccontextmanager
async def connected(monkeypatch):
    """A connection to a server that sends a request's body back."""
    monkeypatch.setattr(timely_site, "HEADER_SECONDS", LIMIT)

    async def echo(request):
        return web.Response(body=await request.read())

    async def refuse(request):
        return web.Response(status=429, text="busy")

    app = web.Application()
    app.router.add_post("/", echo)
    app.router.add_post("/refused", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = TimelySite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection(*site._server.sockets[0].getsockname())
    try:
        yield reader, writer, runner.server
    finally:
        writer.close()
        await runner.cleanup()


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    return head[:12], await reader.readexactly(4)


@pytest.mark.parametrize(
    "pieces", [[HEADERS + b"body"], [HEADERS, b"body"], [HEADERS, b"bo", b"dy"], [HEADERS[:9], HEADERS[9:], b"body"]]
)
async def test_a_body_that_comes_in_pieces_does_not_end_the_connection(monkeypatch, pieces):
    async with connected(monkeypatch) as (reader, writer, _):
        for _ in range(2):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.02)  # so that the server reads each by itself
            assert await answer(reader) == (b"HTTP/1.1 200", b"body")
            await asyncio.sleep(2 * LIMIT)


async def test_a_body_in_the_read_after_its_headers_does_not_either(monkeypatch):
    async with connected(monkeypatch) as (reader, writer, server):
        writer.write(HEADERS + b"body")
        await answer(reader)
        for _ in range(2):
            # Both reads come before the handler's task has begun.
            for piece in (HEADERS, b"body"):
                server.connections[0].data_received(piece)
            assert await answer(reader) == (b"HTTP/1.1 200", b"body")
            await asyncio.sleep(2 * LIMIT)


async def test_nor_does_a_body_that_comes_after_its_answer(monkeypatch):
    async with connected(monkeypatch) as (reader, writer, _):
        for _ in range(2):
            writer.write(HEADERS.replace(b"POST /", b"POST /refused"))
            assert await answer(reader) == (b"HTTP/1.1 429", b"busy")
            writer.write(b"body")
            await asyncio.sleep(2 * LIMIT)


@pytest.mark.parametrize("sent", [b"", HEADERS[:9], HEADERS + b"body" + HEADERS[:9]])
async def test_half_a_header_does(monkeypatch, sent):
    monkeypatch.setattr(timely_site, "KEEPALIVE_SECONDS", LIMIT)
    async with connected(monkeypatch) as (reader, writer, _):
        writer.write(sent)
        async with asyncio.timeout(60):
            received = await reader.read()
        assert received.count(b"HTTP/1.1 200") == (b"body" in sent)
