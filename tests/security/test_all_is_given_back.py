"""Whatever requests come, in whatever order and ending however: what they took in the gateway is given back, all of it."""

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from modelmesh.producers.outage_detector import OutageDetector

from ..integration.waiting import until
from .gateway_alone import gateway_alone

JSON = b"Content-Type: application/json"
GOOD = b'{"inputs": [1]}'
NOW = b"X-Timeout-Ms: 20"


@pytest.fixture(scope="module")
async def alone(tmp_path_factory):
    # Small limits, so that sequences reach them.
    folder = tmp_path_factory.mktemp("limits")
    async with gateway_alone(
        folder, auth="keys", max_in_flight=4, max_in_flight_bytes=3000, max_body_bytes=2000, access_log="off"
    ) as running:
        running.open_key = running.key("predict", "deploy", "admin")
        yield running


def auth(alone, key=None):
    return b"X-API-Key: " + (key or alone.open_key).encode()


async def predict(alone, *headers, body=GOOD, path="/predict/m"):
    return await alone.ask("POST", path, auth(alone), JSON, *headers, body=body)


async def answered(alone):
    alone.producer.answers = "answered"
    await predict(alone)


async def failed(alone):
    alone.producer.answers = "failed"
    await predict(alone)


async def refused_by_the_log(alone):
    alone.producer.answers = "refused"
    await predict(alone)


async def timed_out(alone):
    alone.producer.answers = "never"
    await predict(alone, NOW)


async def headers_that_are_no_text(alone):
    for name in (b"X-Routing-Key", b"traceparent", b"X-Request-Id", b"X-Timeout-Ms"):
        await predict(alone, name + b": \xff\xfe")


async def headers_that_are_no_values(alone):
    alone.producer.answers = "answered"
    for header in (
        b"X-Timeout-Ms: " + b"9" * 400,
        b"X-Request-Id: a b",
        b"traceparent: 00-x",
        b"X-Routing-Key: " + b"k" * 5000,
    ):
        await predict(alone, header)


async def paths_that_are_no_text(alone):
    for path in (b"/predict/%ff", b"/predict/m%00", b"/predict/m?x=%ff", b"/predict/m%0d%0a"):
        await predict(alone, path=path)


async def too_large(alone):
    await predict(alone, body=b"x" * 2001)
    chunks = b"\r\n".join([b"400", b"x" * 1024] * 3 + [b"0", b"", b""])
    head = b"POST /predict/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" + auth(alone)
    await alone.raw(head + b"\r\n\r\n" + chunks)


async def as_many_as_may_be_and_more(alone):
    alone.producer.answers = "never"
    await asyncio.gather(*(predict(alone, NOW) for _ in range(8)))


async def more_bytes_than_may_be(alone):
    alone.producer.answers = "never"
    await asyncio.gather(*(predict(alone, NOW, body=GOOD + b" " * 1500) for _ in range(4)))


async def a_batch(alone):
    alone.producer.answers = "answered"
    await predict(alone, path="/predict/m/batch", body=b'{"inputs": [[1], [2], [3], [4], [5], [6]]}')


async def a_batch_that_is_late(alone):
    alone.producer.answers = "never"
    await predict(alone, NOW, path="/predict/m/batch", body=b'{"inputs": [[1], [2], [3], [4], [5], [6]]}')


async def the_other_protocol(alone):
    alone.producer.answers = "answered"
    await predict(alone, path="/v2/models/m/infer", body=b'{"inputs": []}')
    await predict(alone, b"Inference-Header-Content-Length: 99999", path="/v2/models/m/infer")


async def without_a_key_and_above_a_rate(alone):
    alone.producer.answers = "answered"
    await alone.ask("POST", "/predict/m", JSON, body=GOOD)
    slow = alone.key("predict", requests_per_minute=1)
    for _ in range(2):
        await alone.ask("POST", "/predict/m", auth(alone, slow), JSON, body=GOOD)


async def cut_off(alone, request, wait=0.0):
    _, writer = await asyncio.open_connection("127.0.0.1", alone.port)
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        await asyncio.sleep(wait)
    writer.transport.abort()


async def cut_off_in_the_headers(alone):
    await cut_off(alone, b"POST /predict/m HTTP/1.1\r\nHost: 127")


async def cut_off_in_the_body(alone):
    head = b"POST /predict/m HTTP/1.1\r\nHost: x\r\n" + auth(alone) + b"\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500
    await cut_off(alone, head, 0.005)


async def cut_off_while_it_waits(alone):
    alone.producer.answers = "never"
    head = (
        b"POST /predict/m HTTP/1.1\r\nHost: x\r\n"
        + auth(alone)
        + b"\r\n"
        + NOW
        + b"\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
    )
    await cut_off(alone, head + GOOD, 0.005)


async def a_stream_that_is_left(alone):
    for path in (b"/events", b"/ui/stream"):
        await cut_off(alone, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + auth(alone) + b"\r\n\r\n", 0.005)


ACTIONS = [
    answered, failed, refused_by_the_log, timed_out, headers_that_are_no_text, headers_that_are_no_values, paths_that_are_no_text,
    too_large, as_many_as_may_be_and_more, more_bytes_than_may_be, a_batch, a_batch_that_is_late, the_other_protocol,
    without_a_key_and_above_a_rate, cut_off_in_the_headers, cut_off_in_the_body, cut_off_while_it_waits, a_stream_that_is_left,
]  # fmt: skip


def held(alone):
    """Everything that requests may hold, by kind."""
    return alone.taken | {"listeners": len(alone.gateway._commands._listeners)}


@settings(max_examples=40, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.booleans()), min_size=1, max_size=8))
@example([(action, False) for action in ACTIONS])
@example([(action, True) for action in ACTIONS])
async def test_after_any_sequence_nothing_is_held(alone, sequence):
    """Each action alone, or together with the one that follows."""
    running = []
    for action, together in sequence:
        running.append(asyncio.create_task(action(alone)))
        if not together:
            await asyncio.gather(*running)
            running = []
    await asyncio.gather(*running)

    async def nothing():
        return not any(held(alone).values())

    await until(nothing, f"nothing is held any more: {held(alone)}")
    alone.producer.answers = "answered"
    status, answer = await predict(alone)
    assert status == 200, answer


async def test_what_silenced_a_gateway_for_ever_is_a_400_each_time(alone):
    alone.producer.answers = "answered"
    for header in (b"X-Routing-Key: \xff", b"traceparent: \xff", b"X-Request-Id: \xff", b"Authorization: \xff"):
        for _ in range(10):  # more than there are places
            status, answer = await predict(alone, header)
            assert status == 400
            assert header.split(b":")[0] in answer, "it names the header"
    assert not any(held(alone).values())
    assert (await predict(alone))[0] == 200


async def test_it_is_not_ready_while_nothing_gets_through_and_again_when_something_does(alone, monkeypatch):
    client = alone.gateway._client
    now = [0.0]
    monkeypatch.setattr(client, "_now", lambda: now[0])
    monkeypatch.setattr(client, "_outage", OutageDetector(client._settings.max_deadline))

    async def ready():
        assert (await alone.ask("GET", "/health/ready"))[0] == 503, "nothing is behind this gateway"
        return alone.gateway.health()["checks"]["answers"]

    async def unanswered():
        await predict(alone, b"X-Timeout-Ms: 60000", b"Expect-Nothing: x")

    assert await ready()
    alone.producer.answers = "refused"  # at once, so that the test need not wait
    for now[0] in (1.0, 30.0, 59.0):
        await unanswered()
        assert await ready()
    now[0] = 61.5
    assert not await ready()
    now[0] = 100.0
    await unanswered()
    assert not await ready()
    alone.producer.answers = "answered"
    await predict(alone)
    assert await ready()


async def test_a_gateway_without_room_that_answers_nobody_is_not_ready(alone, monkeypatch):
    client = alone.gateway._client
    now = [0.0]
    monkeypatch.setattr(client, "_now", lambda: now[0])
    monkeypatch.setattr(client, "_outage", OutageDetector(client._settings.max_deadline))
    monkeypatch.setattr(client.quota, "requests", 4)  # as a leak would leave it
    for now[0] in (0.0, 20.0, 40.0, 61.0):
        assert (await predict(alone))[0] == 503
    assert not alone.gateway.health()["checks"]["answers"]


def test_callers_without_patience_or_a_pause_say_nothing():
    detector = OutageDetector(60.0)
    assert not detector.active(1000.0)
    detector.sent(0.0)
    assert not detector.active(59.0)
    assert not detector.active(60.0), "asked once, and then nothing for as long: nobody waits"
    detector.sent(1000.0)
    assert not detector.active(1000.0), "the one before is long gone"
    detector.sent(1040.0)
    assert detector.active(1061.0)
    detector.answered()
    assert not detector.active(1061.0)
