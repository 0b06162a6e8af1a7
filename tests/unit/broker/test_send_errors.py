"""Permanently refused sends: the caller gets an error, the dead letter fits, and the offset moves on."""

import asyncio
import hashlib

import orjson
import pytest
from aiokafka import ConsumerRecord, TopicPartition, errors
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.broker.kafka.delivery import Delivery
from modelmesh.broker.kafka.outbox import Outbox
from modelmesh.broker.kafka.send_errors import answer_for, is_permanent
from modelmesh.producers.dead_letters import DeadLetter, DeadLetters
from modelmesh.runtime.replies import ReplyWriter
from modelmesh.schemas import records
from modelmesh.schemas.errors import RequestTooLarge
from modelmesh.schemas.payloads.dead_letters import HEADER_BYTES, KEPT_BYTES, dead_letter
from modelmesh.schemas.records import PredictionRequest
from modelmesh.schemas.settings import Settings

SETTINGS = Settings(name="tests")


class Log:
    """A producer that refuses records by a rule; `taken` are (topic, value, headers)."""

    def __init__(self, refuse=lambda topic, size: None):
        self.taken, self.keys = [], []
        self._refuse = refuse

    async def send(self, topic, value, *, key, partition=None, headers=()):
        size = len(value or b"") + records.header_bytes(headers) + len(key)
        if (error := self._refuse(topic, size)) is not None:
            raise error
        self.taken.append((topic, value, headers))
        self.keys.append(key)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Loop:
    """Collects what a delivery reports."""

    def __init__(self):
        self.finished, self.failure = [], None

    def finish(self, partition, offset):
        self.finished.append(offset)

    def fail(self, error):
        self.failure = error


def limited(topic, size):
    return errors.MessageSizeTooLargeError("too large") if size > SETTINGS.max_record_bytes else None


async def put_through(record, use, refuse=limited):
    """Pass a record to a ReplyWriter by `use`; return the log and the loop."""
    log, loop = Log(refuse), Loop()
    outbox = Outbox(log)
    reply_writer = ReplyWriter(SETTINGS, outbox)
    delivery = Delivery(loop, TopicPartition(record.topic, 0), record.offset)
    use(reply_writer, record, delivery)
    for _ in range(5):  # a refusal queues an error reply
        await outbox.flushed()
        await asyncio.sleep(0)
    return log, loop


def record_of(headers, value, key=b"k"):
    return ConsumerRecord("modelmesh.requests", 0, 7, 0, 0, key, value, None, 0, 0, tuple(headers))


def request(**fields):
    known = {"request_id": "r", "model": "m", "deadline": 1e12, "reply_topic": "modelmesh.replies"}
    return PredictionRequest(**(known | {"reply_partition": 0, "body": b"{}"} | fields))


def status_of(headers):
    return int(dict(headers)[records.STATUS])


@pytest.mark.parametrize(
    "error", [errors.MessageSizeTooLargeError("x"), errors.InvalidTopicError("x"), ValueError("x")]
)
async def test_a_permanent_refusal_finishes_the_record(error):
    def use(reply_writer, record, delivery):
        reply_writer.reply(request(), delivery, b"{}")

    _, loop = await put_through(record_of([], b""), use, refuse=lambda topic, size: error)
    assert is_permanent(error)
    assert (loop.finished, loop.failure) == ([7], None)
    assert len(orjson.dumps(answer_for(error, "it").problem())) < 1000


@pytest.mark.parametrize("error", [errors.KafkaTimeoutError("x"), errors.NotLeaderForPartitionError("x"), OSError("x")])
async def test_a_temporary_refusal_fails_the_loop(error):
    def use(reply_writer, record, delivery):
        reply_writer.reply(request(), delivery, b"{}")

    _, loop = await put_through(record_of([], b""), use, refuse=lambda topic, size: error)
    assert (loop.finished, loop.failure) == ([], error)


async def test_an_answer_that_is_refused_becomes_an_error_reply():
    def use(reply_writer, record, delivery):
        reply_writer.reply(request(nonce="n" * 32), delivery, b"x" * 5000, version="1.0.0")

    too_large = lambda topic, size: errors.MessageSizeTooLargeError("x") if size > 4000 else None  # noqa: E731
    log, loop = await put_through(record_of([], b""), use, refuse=too_large)
    [(topic, value, headers)] = log.taken
    assert (topic, status_of(headers), orjson.loads(value)["code"]) == ("modelmesh.replies", 413, "too_large")
    assert log.keys == [b"n" * 32]  # by which its client finds it
    assert (loop.finished, loop.failure) == ([7], None)


@pytest.mark.parametrize(
    "extra",
    [
        {"body": b"x" * (SETTINGS.max_body_bytes + 1)},
        {"body": b"x" * 3 * SETTINGS.max_record_bytes},
        {"routing_key": "k" * records.MAX_HEADER_BYTES},
        {"traceparent": "t" * 9_000_000},
        {"model": "m" * 9_000_000},
    ],
)
async def test_a_request_that_is_too_large_is_answered_413(extra):
    sent = request(**extra)

    def use(reply_writer, record, delivery):
        assert reply_writer.read_request(record, delivery) is None

    log, loop = await put_through(record_of(sent.headers(), sent.body), use)
    [(topic, value, headers)] = log.taken
    problem = orjson.loads(value)
    assert (topic, status_of(headers), problem["status"]) == ("modelmesh.replies", 413, 413)
    assert (loop.finished, loop.failure) == ([7], None)


headers_of_all_kinds = st.lists(
    st.tuples(
        st.sampled_from([value for name, value in vars(records).items() if name.isupper() and isinstance(value, str)])
        | st.text(max_size=30),
        st.none() | st.binary(max_size=40) | st.integers(1, 3_000_000).map(bytes),
    ),
    max_size=6,
)


@given(
    headers_of_all_kinds,
    st.none() | st.sampled_from([0, 1, 4 * 2**20, 4 * 2**20 + 1, 30_000_000]),
    st.integers(0, 2**21),
)
def test_a_dead_letter_of_any_record_fits_and_describes_what_is_missing(headers, size, key):
    value = None if size is None else bytes(size)
    kept, added = dead_letter(
        headers,
        value,
        max_bytes=SETTINGS.max_body_bytes,
        reason="é" * 5000,
        source="t/0/7",
        key=bytes(key),
        stack="s" * 20_000,
    )
    assert len(kept or b"") + records.header_bytes(added) < SETTINGS.max_record_bytes - 16 * 1024
    letter = DeadLetter.from_record(ConsumerRecord("d", 0, 1, 0, 0, b"", kept, None, 0, 0, tuple(added)))
    assert (letter.source, letter.topic) == ("t/0/7", "t")
    assert letter.reason.startswith("é")
    whole = size is None or size <= SETTINGS.max_body_bytes
    if whole:
        assert letter.value == value
    else:
        assert letter.value == value[:KEPT_BYTES]
        assert str(size) in letter.cut
        assert hashlib.sha256(value).hexdigest() in letter.cut
    assert records.REDRIVES not in dict(added)
    if not letter.cut:
        assert records.header_bytes(headers) <= HEADER_BYTES


@pytest.mark.parametrize("count", [0, 1, 200_000])
async def test_an_unreadable_record_is_dead_lettered_and_finished(count):
    headers = [("h", bytes(50))] * count

    def use(reply_writer, record, delivery):
        assert reply_writer.read_request(record, delivery) is None

    log, loop = await put_through(record_of(headers, bytes(2 * SETTINGS.max_record_bytes)), use)
    [(topic, value, added)] = log.taken
    assert topic == "modelmesh.dead-letters"
    assert dict(added)[records.SOURCE] == b"modelmesh.requests/0/7"
    assert len(value) == KEPT_BYTES
    assert (loop.finished, loop.failure) == ([7], None)


async def test_a_partial_dead_letter_is_not_redriven():
    kept, added = dead_letter([], bytes(100), max_bytes=10, reason="too large", source="t/0/7")
    letter = DeadLetter.from_record(ConsumerRecord("d", 0, 1, 0, 0, b"", kept, None, 0, 0, tuple(added)))
    with pytest.raises(RequestTooLarge, match=r"first 100 of 100 bytes.*t/0/7"):
        await DeadLetters(SETTINGS).redrive(letter)
