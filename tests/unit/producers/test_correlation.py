"""A reply reaches the request that it answers and no other; request ids need not be unique."""

import asyncio
import time
from dataclasses import dataclass, field, replace

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.gateway.predict.routes import row_id
from modelmesh.producers.client import PredictionClient
from modelmesh.producers.correlation import answer_to
from modelmesh.schemas.errors import DeadlineExceeded, MalformedRequest
from modelmesh.schemas.names import NONCE, REQUEST_ID
from modelmesh.schemas.records import PredictionRequest, Reply
from modelmesh.schemas.settings import Settings

REPLIES = Settings().topics().replies.name


def record_of(reply, partition, *, key=None, topic=REPLIES, at=None):
    at = time.time() if at is None else at
    key = reply.identity.encode() if key is None else key
    return ConsumerRecord(
        topic, partition, 0, int(1000 * at), 0, key, reply.body, None, 0, 0, tuple(reply.headers())
    )  # fmt: skip


def reply_to(request, body=b"{}", **options):
    return Reply(request.request_id, request.model, 200, body, nonce=request.nonce, **options)


@dataclass
class Log:
    """Collects what a client sends, in place of its outbox; nothing is acknowledged."""

    requests: list = field(default_factory=list)

    def send(self, topic, body, *, headers, **_):
        self.requests.append(PredictionRequest.from_record(headers, body))


class NoReplicas:
    def live(self):
        return []

    def expect_router(self, partition):
        """There is none."""


def client_of(log, **settings):
    client = PredictionClient(Settings(**settings), replicas=NoReplicas())
    client._outbox, client._replicas = log, NoReplicas()
    return client


async def sent(log, count):
    """Let the started tasks send; they do so before they first wait."""
    await asyncio.sleep(0)
    assert len(log.requests) == count
    return log.requests


async def test_requests_with_one_id_get_their_own_answers():
    log = Log()
    client = client_of(log)
    asking = [asyncio.create_task(client.send(model, b"{}", request_id="trace-1")) for model in ("a", "b", "a")]
    requests = await sent(log, 3)
    assert {request.request_id for request in requests} == {"trace-1"}
    assert len({request.nonce for request in requests}) == 3
    for number in (2, 0, 1):  # in another order than they were sent in
        answer = reply_to(requests[number], b"%d" % number)
        client._on_record(record_of(answer, client.reply_partition))
    assert [reply.body for reply in await asyncio.gather(*asking)] == [b"0", b"1", b"2"]
    assert client.in_flight == 0


async def test_two_clients_with_equal_ids_on_one_partition_get_their_own_answers():
    logs = Log(), Log()
    clients = [client_of(log) for log in logs]
    for client in clients:
        client.reply_partition = 3
    asking = [
        [asyncio.create_task(client.send("m", b"{}", request_id=str(number))) for number in range(40)]
        for client in clients
    ]
    for log in logs:
        await sent(log, 40)
    for who, log in enumerate(logs):
        for request in reversed(log.requests):
            answer = reply_to(request, f"{who}-{request.request_id}".encode())
            for client in clients:  # both read the partition
                client._on_record(record_of(answer, 3))
    for who, tasks in enumerate(asking):
        found = [reply.body.decode() for reply in await asyncio.gather(*tasks)]
        assert found == [f"{who}-{number}" for number in range(40)]
    assert [client.foreign for client in clients] == [40, 40]


async def test_a_late_answer_to_an_earlier_request_is_not_the_later_ones():
    log = Log()
    client = client_of(log)
    first = asyncio.create_task(client.send("m", b"{}", request_id="again"))
    early = (await sent(log, 1))[0]
    client._on_record(record_of(reply_to(early, b"first"), client.reply_partition))
    assert (await first).body == b"first"
    second = asyncio.create_task(client.send("m", b"{}", request_id="again"))
    late = (await sent(log, 2))[1]
    # A reply to a retry of the first, and one with the request id as its key.
    client._on_record(record_of(reply_to(early, b"first again", attempt=2), client.reply_partition))
    client._on_record(record_of(reply_to(early, b"first again"), client.reply_partition, key=b"again"))
    assert not second.done()
    client._on_record(record_of(reply_to(late, b"second"), client.reply_partition))
    assert (await second).body == b"second"


def forgeries(request):
    right = reply_to(request)
    here = request.reply_partition
    key = request.nonce.encode()
    yield "another nonce", record_of(replace(right, nonce="f" * 32), here, key=key)
    yield "no nonce", record_of(replace(right, nonce=""), here, key=key)
    yield "the id as nonce", record_of(replace(right, nonce=request.request_id), here, key=key)
    yield "another model", record_of(replace(right, model="other"), here, key=key)
    yield "another partition", record_of(right, here + 1, key=key)
    yield "another topic", record_of(right, here, key=key, topic="modelmesh.shadow-replies")
    yield "no headers", replace(record_of(right, here, key=key), headers=())


async def test_a_forged_reply_is_dropped_and_counted_and_the_answer_still_comes():
    log = Log()
    client = client_of(log)
    asking = asyncio.create_task(client.send("m", b"{}", request_id="mine"))
    request = (await sent(log, 1))[0]
    forged = list(forgeries(request))
    for number, (what, record) in enumerate(forged, 1):
        client._on_record(record)
        assert not asking.done(), what
        assert client.mismatched == number, what
    client._on_record(
        record_of(reply_to(request), request.reply_partition, key=b"mine")
    )  # the right id, but not the nonce as key
    assert not asking.done()
    client._on_record(record_of(reply_to(request, b"mine"), request.reply_partition))
    assert (await asking).body == b"mine"


names = st.sampled_from(["m", "n"])
nonces = st.sampled_from(["a" * 32, "b" * 32, ""])
partitions = st.sampled_from([0, 1])


@given(names, nonces, partitions, names, nonces, partitions, st.sampled_from(["x", "y"]), st.sampled_from(["x", "y"]))
def test_a_reply_is_accepted_only_if_nonce_model_and_partition_match(
    asked, nonce, partition, answered, answer_nonce, answer_partition, request_id, answer_id
):
    request = PredictionRequest(request_id, asked, 1.0, REPLIES, partition, b"", nonce=nonce)
    record = record_of(Reply(answer_id, answered, 200, b"", nonce=answer_nonce), answer_partition)
    fits = (asked, nonce, partition) == (answered, answer_nonce, answer_partition)
    assert (answer_to(request, record) is not None) == fits


async def test_a_retry_keeps_the_nonce():
    log = Log()
    client = client_of(log)
    asking = asyncio.create_task(client.send("m", b"{}"))
    first = (await sent(log, 1))[0]
    client._retry(*client._pending)
    second = (await sent(log, 2))[1]
    assert (second.nonce, second.attempt) == (first.nonce, 2)
    assert NONCE.fullmatch(first.nonce)
    client._on_record(record_of(reply_to(second), client.reply_partition))
    await asking


@pytest.mark.parametrize("ahead", [90.0, -90.0])
async def test_a_lost_deadline_names_the_clocks_that_differ(ahead):
    log = Log()
    client = client_of(log)
    asking = asyncio.create_task(client.send("m", b"{}", deadline=15))
    request = (await sent(log, 1))[0]
    refusal = replace(reply_to(request), status=504, body=b'{"detail": "the deadline passed"}')
    client._on_record(record_of(refusal, client.reply_partition, at=time.time() + ahead))
    with pytest.raises(
        DeadlineExceeded, match=rf"clock of the mesh is \d\d\.\d s {'ahead' if ahead > 0 else 'behind'}"
    ):
        await asking


async def test_a_missed_deadline_with_equal_clocks_is_reported_as_such():
    log = Log()
    client = client_of(log)
    asking = asyncio.create_task(client.send("m", b"{}", deadline=15))
    request = (await sent(log, 1))[0]
    refusal = replace(reply_to(request), status=504, body=b"{}")
    client._on_record(record_of(refusal, client.reply_partition))
    assert (await asking).status == 504


TEXTS = {"Latin-1": "Jos\udce9", "NUL": "a\0b", "too long": "k" * 5000}


@pytest.mark.parametrize("name", ["routing_key", "traceparent", "pinned_version", "caller"])
@pytest.mark.parametrize("what", TEXTS)
async def test_an_invalid_header_text_is_named_and_leaves_nothing_in_flight(what, name):
    log = Log()
    client = client_of(log)
    with pytest.raises(MalformedRequest) as caught:
        await client.send("m", b"{}", **{name: TEXTS[what]})
    assert caught.value.field == ("version" if name == "pinned_version" else name)
    assert (client.in_flight, client.quota.bytes, log.requests) == (0, 0, [])


async def test_text_of_any_script_is_valid():
    log = Log()
    client = client_of(log)
    asking = asyncio.create_task(client.send("m", b"{}", routing_key="José😀"))
    request = (await sent(log, 1))[0]
    assert request.routing_key == "José😀"
    asking.cancel()


async def test_a_request_that_cannot_be_sent_leaves_nothing_in_flight():
    class Broken:
        def send(self, *_, **__):
            raise RuntimeError("broken")

    client = client_of(Broken())
    with pytest.raises(RuntimeError):
        await client.send("m", b"{}")
    assert (client.in_flight, client.quota.bytes) == (0, 0)


@given(st.from_regex(REQUEST_ID, fullmatch=True), st.from_regex(REQUEST_ID, fullmatch=True), st.integers(0, 99_999))
def test_rows_of_two_batches_never_share_an_id(one, two, number):
    assert REQUEST_ID.fullmatch(row_id(one, number))
    assert (row_id(one, number) == row_id(two, number)) == (one == two)


def test_rows_of_two_long_batches_that_begin_alike_have_ids_of_their_own():
    assert row_id("x" * 127 + "a", 1) != row_id("x" * 127 + "b", 1)
