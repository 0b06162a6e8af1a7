"""Bodies that are not what their headers say are a 400 or 415 that names the header, on every route, never a 500."""

import asyncio
import gzip
import zlib

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from modelmesh.gateway.predict.http_requests import read_body, read_deadline
from modelmesh.producers.in_flight_quota import InFlightQuota
from modelmesh.telemetry.http import http_middleware
from modelmesh.telemetry.tracing import Traces, known_traceparent
from prometheus_client import CollectorRegistry

BODY = b'{"inputs": [0.0]}'
GZIP, DEFLATE = gzip.compress(BODY), zlib.compress(BODY)


async def streamed(request):
    read_deadline(request)
    return web.Response(body=await read_body(request, 10_000, InFlightQuota(max_requests=0, max_bytes=10_000)))


async def whole(request):
    return web.Response(body=await request.read())


@pytest.fixture
async def server():
    app = web.Application(middlewares=[http_middleware(CollectorRegistry(), Traces("gateway", "g", 0.0, None), "off")])
    app.router.add_post("/streamed", streamed)
    app.router.add_post("/v2/whole", whole)
    async with TestServer(app) as server:
        yield server


async def ask(server, path, headers, body):
    """Return the status and the answer; written by hand, since clients refuse to send such things."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n".encode()
    writer.write(head + headers + b"\r\n" + body)
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("path", ["/streamed", "/v2/whole"])
@pytest.mark.parametrize(
    ("headers", "body", "status", "says"),
    [
        (b"Content-Encoding: gzip\r\n", GZIP, 200, BODY),
        (b"Content-Encoding: GZIP\r\n", GZIP, 200, BODY),
        (b"Content-Encoding: deflate\r\n", DEFLATE, 200, BODY),
        (b"Content-Encoding: deflate\r\n", DEFLATE[2:-4], 200, BODY),
        (b"Content-Encoding: identity\r\n", BODY, 200, BODY),
        (b"Content-Encoding: gzip\r\n", BODY, 400, b"Content-Encoding"),
        (b"Content-Encoding: gzip\r\n", DEFLATE, 400, b"Content-Encoding"),
        (b"Content-Encoding: gzip\r\n", GZIP[:-8] + bytes(8), 400, b"Content-Encoding"),
        (b"Content-Encoding: deflate\r\n", GZIP, 400, b"Content-Encoding"),
        (b"Content-Encoding: lzma\r\n", BODY, 415, b"Content-Encoding"),
        (b"Content-Encoding: gzip, gzip\r\n", gzip.compress(GZIP), 415, b"Content-Encoding"),
        (b"Content-Encoding: \xff\xfe\r\n", BODY, 415, b"Content-Encoding"),
    ],
)
async def test_a_body_that_is_not_in_its_encoding_is_said_to_be(server, path, headers, body, status, says):
    found, answer = await ask(server, path, headers, body)
    assert found == status, answer
    assert says in answer


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("1000", 200),
        ("0", 400),
        ("-1", 400),
        ("1.5", 400),
        ("1_0", 400),
        (" 5 ", 200),
        ("\u0661", 400),
        ("9" * 30, 200),
    ],
)
async def test_a_deadline_is_a_whole_number_in_ascii(server, given, status):
    found, answer = await ask(server, "/streamed", f"X-Timeout-Ms: {given}\r\n".encode(), BODY)
    assert found == status, answer


def test_what_is_no_traceparent_is_passed_over():
    good = f"00-{'a' * 32}-{'b' * 16}-01"
    assert known_traceparent(good) == good
    for bad in ("", "junk", "\udcff\udcfe", good.upper(), good + "\0", good[:-1], "0" * 9000, good + "-" + "x" * 999):
        assert known_traceparent(bad) == ""
