"""How long requests wait for others, and that they then leave together."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.broker.kafka.outbox import Outbox
from modelmesh.producers.adaptive_linger import MAX_SECONDS, SHARE, AdaptiveLinger


def linger(answers):
    found = AdaptiveLinger()
    for seconds in answers:
        found.answered(seconds)
    return found


def test_a_request_alone_does_not_wait():
    assert linger([1.0] * 100).seconds(1) == 0.0


def test_the_wait_follows_the_time_of_an_answer():
    assert linger([0.01] * 200).seconds(2) == pytest.approx(SHARE * 0.01, rel=0.01)
    assert linger([1.0] * 200 + [0.01] * 200).seconds(2) == pytest.approx(SHARE * 0.01, rel=0.1)


@given(st.lists(st.floats(0, 1e6), max_size=50), st.integers(0, 1000))
def test_the_wait_has_a_limit(answers, in_flight):
    assert 0 <= linger(answers).seconds(in_flight) <= MAX_SECONDS


class Producer:
    """Keeps what it is given; `both` is set at the second record."""

    def __init__(self):
        self.sent, self.both = [], asyncio.Event()

    async def send(self, topic, value, **options):
        self.sent.append(value)
        if len(self.sent) == 2:
            self.both.set()
        return asyncio.get_running_loop().create_future()


async def test_what_is_queued_meanwhile_is_sent_with_the_first():
    producer = Producer()
    outbox = Outbox(producer, linger=lambda: 0.05)
    running = asyncio.create_task(outbox.run())
    outbox.send("t", b"1", key="k")
    for _ in range(5):
        await asyncio.sleep(0)
    outbox.send("t", b"2", key="k")
    assert producer.sent == []
    async with asyncio.timeout(10):
        await producer.both.wait()
    running.cancel()
    assert producer.sent == [b"1", b"2"]
