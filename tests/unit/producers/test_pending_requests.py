"""Requests in flight: each ends once, with its own answer, in any order of events; retries stay within their limits."""

from concurrent.futures import Future

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaTimeoutError, RecordTooLargeError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from modelmesh.producers.pending_requests import PendingRequests
from modelmesh.producers.request_partitions import RequestPartitions
from modelmesh.schemas.errors import BrokerUnavailable, DeadlineExceeded, RequestTooLarge
from modelmesh.schemas.payloads.replicas import Heartbeat
from modelmesh.schemas.records import PredictionRequest, Reply

ATTEMPTS, SHARE, PARTITIONS = 3, 0.2, 8
ROUTERS = [
    Heartbeat(replica=name, role="router", epoch="e", at=0.0, pid=1, partitions=held)
    for name, held in (("a", (0, 1, 2)), ("b", (3, 4, 5)), ("c", (6, 7)))
]
HOLDER = {number: beat.replica for beat in ROUTERS for number in beat.partitions}


def record_of(reply, partition=0, at=0.0):
    return ConsumerRecord(
        "replies", partition, 0, int(1000 * at), 0, reply.identity.encode(), reply.body, None, 0, 0, reply.headers()
    )


class Client(RuleBasedStateMachine):
    """A client whose log, replies and clock the test controls."""

    def __init__(self):
        super().__init__()
        self.now, self.count, self.sends, self.replies = 100.0, 0, 0, 0
        self.core = PendingRequests(
            RequestPartitions(PARTITIONS, 0),
            max_attempts=ATTEMPTS,
            retry_budget=SHARE,
            min_delay=0.1,
            uniform=lambda: 0.5,
        )
        self.open = []  # in flight
        self.gone = []  # ended and removed
        self.written = []  # attempts without an answer from Kafka
        self.routed = []  # acknowledged requests

    def send(self, pending):
        self.core.next_partition(pending, ROUTERS)
        self.written.append((pending, pending.request))
        self.sends += 1

    @rule(seconds=st.sampled_from([0.05, 1.0, 60.0]))
    def ask(self, seconds):
        self.count += 1
        nonce = f"{self.count:032}"
        request = PredictionRequest("label", "m", 1e12, "replies", 0, b"", nonce=nonce)
        pending = self.core.add(request, Future(), self.now, seconds)
        self.open.append(pending)
        self.send(pending)

    @rule(seconds=st.floats(0.01, 5))
    def wait(self, seconds):
        self.now += seconds
        for pending in [pending for pending in self.open if pending.expires <= self.now]:
            self.core.expire(pending)

    def some(self, data, values):
        return values[data.draw(st.integers(0, len(values) - 1))]

    @precondition(lambda self: self.written)
    @rule(data=st.data(), error=st.sampled_from([None, None, KafkaTimeoutError("x"), RecordTooLargeError("x")]))
    def kafka_says(self, data, error):
        pending, request = self.some(data, self.written)
        self.written.remove((pending, request))
        ended, had = pending.future.done(), pending.acknowledged
        wanted = self.core.sent(pending, error)
        assert wanted == (error is None and not ended)
        if error is None:
            self.routed.append(request)
        elif not ended and not had:
            kind = RequestTooLarge if isinstance(error, RecordTooLargeError) else BrokerUnavailable
            assert isinstance(pending.future.exception(), kind)

    @precondition(lambda self: any(not pending.future.done() for pending in self.open))
    @rule(data=st.data())
    def try_again(self, data):
        pending = self.some(data, [pending for pending in self.open if not pending.future.done()])
        delay = self.core.retry_delay(pending, self.now)
        if delay is None:
            longest = 2 * max(1.0, self.now - 100)  # of a first delay
            longest *= 2 ** (pending.request.attempt - 1 + pending.refused)
            assert pending.request.attempt == ATTEMPTS or pending.expires - self.now <= longest
            return
        assert pending.request.attempt < ATTEMPTS
        assert self.now + delay < pending.expires
        before, retries, nonce = pending.request.attempt, self.core.retries, pending.request.nonce
        if self.core.retry(pending, self.now):
            assert (pending.request.attempt, pending.request.nonce) == (before + 1, nonce)
            self.send(pending)
        else:
            assert (pending.request.attempt, self.core.retries) == (before, retries)
            assert (self.core.retry_delay(pending, self.now) or 1e9) > delay, "less and less often"

    @precondition(lambda self: self.routed)
    @rule(data=st.data(), fault=st.sampled_from(["", "", "model", "partition", "nonce"]))
    def a_reply_comes(self, data, fault):
        request = self.some(data, self.routed)
        pending = next((one for one in self.open if one.request.nonce == request.nonce), None)
        body = request.nonce.encode()
        model = "other" if fault == "model" else request.model
        nonce = "f" * 32 if fault == "nonce" else request.nonce
        reply = Reply("label", model, 200, body, attempt=request.attempt, nonce=nonce)
        waits = pending is not None and not pending.future.done()
        before = self.core.foreign, self.core.mismatched
        seconds = self.core.receive(record_of(reply, partition=1 if fault == "partition" else 0), self.now, 0.0)
        answered = seconds is not None
        assert answered == (waits and not fault)
        mismatched = waits and fault in ("model", "partition")
        foreign = not answered and not mismatched
        assert (self.core.foreign - before[0], self.core.mismatched - before[1]) == (foreign, mismatched)
        if answered:
            assert pending.future.result().body == request.nonce.encode(), "its own"

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def its_caller_goes(self, data):
        pending = self.some(data, self.open)
        pending.future.cancel()
        self.open.remove(pending)
        self.core.remove(pending)
        self.gone.append(pending)

    @invariant()
    def what_is_in_flight_is_known_and_nothing_else(self):
        assert list(self.core) == self.open
        assert len(self.core) == len(self.open)

    @invariant()
    def nobody_waits_longer_than_he_wanted(self):
        for pending in self.open:
            if pending.expires <= self.now:
                assert pending.future.done()
            if pending.future.done() and isinstance(pending.future.exception(), DeadlineExceeded):
                assert pending.acknowledged

    @invariant()
    def retries_are_paid_for(self):
        assert self.core.retries == self.sends - self.count
        assert self.core.retries <= SHARE * self.count + 10 + (self.now - 100) + 1

    @invariant()
    def each_attempt_asks_another_router_while_there_is_one(self):
        for pending in [*self.open, *self.gone]:
            assert len(pending.tried) == pending.request.attempt <= ATTEMPTS
            assert len({HOLDER[number] for number in pending.tried}) == min(len(ROUTERS), len(pending.tried))


TestClient = Client.TestCase
