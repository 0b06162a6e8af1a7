"""Each reply has its own request's id and nonce, also if the answer is cached or shared with another request."""

import asyncio

import pytest
from aiokafka import ConsumerRecord
from modelmesh.router.answer_store import AnswerKey, MemoryAnswers
from modelmesh.router.placements import Placements
from modelmesh.router.prediction_cache import Pending, PredictionCache
from modelmesh.runtime.replies import ReplyWriter
from modelmesh.schemas.errors import ModelFailed, NoWorker
from modelmesh.schemas.records import PredictionRequest, Reply
from modelmesh.schemas.settings import Settings
from prometheus_client import CollectorRegistry

SETTINGS = Settings()
TOPICS = SETTINGS.topics()
KEY = AnswerKey("m", "1.0.0", "digest", "inputs")


class Log:
    """Collects what a ReplyWriter sends, in place of its outbox."""

    def __init__(self):
        self.sent = []

    def send(self, topic, value, *, key, partition, headers, **_):
        self.sent.append((topic, key, partition, Reply.from_record(headers, value)))


class Delivery:
    def acknowledged(self, sent):
        """Does nothing."""


def make_request(nonce, request_id="same", partition=0, **options):
    return PredictionRequest(request_id, "m", 1e12, TOPICS.replies.name, partition, b"{}", nonce=nonce * 32, **options)


def pending(request):
    record = ConsumerRecord(TOPICS.requests.name, 0, 0, 0, 0, b"", b"{}", None, 0, 0, tuple(request.headers()))
    return Pending(record, request, Delivery())


async def test_requests_that_share_an_answer_and_an_id_get_replies_with_their_own_nonces():
    log = Log()
    reply_writer = ReplyWriter(SETTINGS, log)
    missed = []
    cache = PredictionCache(
        CollectorRegistry(),
        answered=lambda one, body: reply_writer.reply(one.request, one.delivery, body, cached=True),
        missed=missed.append,
    )
    cache.use(MemoryAnswers(1_000_000))
    requests = [make_request(nonce, partition=number) for number, nonce in enumerate("abc")]
    for request in requests:
        cache.ask(pending(request), KEY)
    assert [one.request.nonce for one in missed] == [requests[0].nonce]  # the first is sent on, the others wait
    cache.complete(KEY, b"answer", 60.0)
    late = make_request("d", partition=7)
    cache.ask(pending(late), KEY)  # answered from the cache
    for request, (topic, key, partition, reply) in zip([*requests[1:], late], log.sent, strict=True):
        assert (topic, partition) == (TOPICS.replies.name, request.reply_partition)
        assert (key, reply.nonce, reply.request_id) == (request.nonce, request.nonce, "same")
        assert (reply.cached, reply.body) == (True, b"answer")


@pytest.mark.parametrize("outcome", [b"{}", NoWorker("none"), ModelFailed("no")])
@pytest.mark.parametrize("role", ["primary", "shadow"])
@pytest.mark.parametrize("nonce", ["a", ""])
@pytest.mark.parametrize("fill", [None, 2])
def test_every_kind_of_reply_has_its_requests_ids(outcome, role, nonce, fill):
    log = Log()
    request = make_request(nonce, role=role, fill=fill, caller="shop", version="2.0.0")
    ReplyWriter(SETTINGS, log).reply(request, Delivery(), outcome, version="1.0.0", fallback="2.0.0")
    assert len(log.sent) == (2 if fill is not None and role == "primary" else 1)
    for _, key, _, reply in log.sent:
        # A client that sends no nonce gets its reply under the request id.
        assert key == (request.nonce or "same")
        assert (reply.request_id, reply.nonce, reply.model, reply.caller) == ("same", request.nonce, "m", "shop")


def test_requests_with_the_same_id_have_separate_placements():
    placements = Placements()
    one, two = make_request("a"), make_request("b")
    placements.note(one.identity, "worker-0", 0.0)
    assert placements.before(two.identity) == ()
    assert placements.before(one.identity) == ("worker-0",)


async def test_a_dead_letters_request_is_answered_under_its_nonce():
    sent, log = asyncio.get_running_loop().create_future(), Log()
    kept = []

    class Outbox(Log):
        def send(self, topic, value, *, key, headers, partition=None, acknowledged=None, **_):
            if topic == TOPICS.dead_letters.name:
                kept.append(acknowledged)
            else:
                log.send(topic, value, key=key, partition=partition, headers=headers)

    one = pending(make_request("a"))
    ReplyWriter(SETTINGS, Outbox()).dead_letter_and_reply(one.record, one.delivery, "it kills", "")
    sent.set_result(None)
    kept[0](sent)
    [(_, key, _, reply)] = log.sent
    assert (key, reply.nonce, reply.request_id, reply.status) == ("a" * 32, "a" * 32, "same", 500)
