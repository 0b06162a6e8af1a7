"""The Kafka client: publish a request, await its reply on a reply partition of one's own."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, TypedDict, Unpack
from uuid import uuid4
from zlib import crc32

import orjson
from aiokafka import ConsumerRecord

from ..broker.kafka.connection import make_producer, start_producer
from ..broker.kafka.outbox import Outbox
from ..broker.kafka.send_errors import answer_for, is_permanent
from ..broker.kafka.topic_follower import TopicFollower
from ..broker.views.replicas import ReplicaView
from ..models.values.json_values import json_of
from ..resilience.retries import RetryBudget, RetryDelay
from ..runtime.chaos import Chaos
from ..runtime.lifecycle import Lifecycle
from ..schemas import records
from ..schemas.errors import (
    BrokerUnavailable,
    DeadlineExceeded,
    MalformedRequest,
    RequestTooLarge,
    from_problem,
)
from ..schemas.names import REQUEST_ID
from ..schemas.records import PredictionRequest, Priority, Reply
from ..schemas.settings import Settings
from .correlation import answer_to, check_texts, clocks_differ, skew_of
from .request_partitions import RequestPartitions
from .room import Room
from .silence import Silence

# Retries a second that need no budget, and the delay of a model's first retries, before anything is known of it.
RESERVE = 1.0
UNKNOWN_DELAY = 1.0


class PredictOptions(TypedDict, total=False):
    """The options of `PredictionClient.predict`."""

    routing_key: str
    deadline: float | None
    request_id: str | None


class PredictionClient:
    """Ask for predictions over Kafka. Many requests can be in flight; use it as an async context manager.

    ```python
    async with PredictionClient(kafka="127.0.0.1:9092") as client:
        answer = await client.predict("fraud", {"amount": 200, "merchant": "Acme"})
        answer["outputs"]["label"]
    ```
    """

    def __init__(
        self, settings: Settings | None = None, *, kafka: str | None = None, replicas: ReplicaView | None = None
    ) -> None:
        settings = settings or Settings()
        update = {"name": f"client-{uuid4().hex[:12]}"} | ({"kafka": kafka} if kafka else {})
        self._settings = settings.model_copy(update=update)
        self._given_replicas = replicas
        topics = self._settings.topics()
        self._requests = topics.requests
        self._replies = topics.replies
        # Two clients may share a partition: each picks out its own answers by the nonces of its requests.
        self.reply_partition = crc32(self._settings.name.encode()) % topics.replies.partitions
        self._pending: dict[bytes, _Pending] = {}  # by nonce
        self.room = Room(self._settings.max_in_flight, self._settings.max_in_flight_bytes)
        self._silence = Silence(self._settings.max_deadline)
        self._unacknowledged = 0
        self._partitions = RequestPartitions(topics.requests.partitions, crc32(self._settings.name.encode()))
        self._delays: dict[str, RetryDelay] = {}
        self._unknown = RetryDelay(UNKNOWN_DELAY, random.random)
        self._budget = RetryBudget(self._settings.retry_budget, RESERVE)
        self.retries = 0
        self.foreign = 0  # replies on this partition to nothing that is in flight here: others', second, or late ones
        self.mismatched = 0  # replies under a nonce of ours that are no answer to its request
        self._open = False

    async def __aenter__(self) -> PredictionClient:
        self._producer = make_producer(self._settings)
        self._chaos = Chaos(self._settings)
        self._outbox = Outbox(self._producer, self._chaos.send_delay)
        running = {"outbox": self._outbox.run(), "faults": self._chaos.run()}
        if self._given_replicas is None:
            self._replicas = ReplicaView(self._settings)
            running["replicas"] = self._replicas.run()
        else:
            self._replicas = self._given_replicas  # somebody else follows it
        follower = TopicFollower(
            self._settings, self._replies, self._on_record, from_end=True, partitions=[self.reply_partition]
        )
        self._parts = Lifecycle(asyncio.Event())
        try:
            await self._parts.start("producer", start_producer(self._producer, self._settings), self._producer.stop)
            for name, part in running.items():
                self._parts.run(f"client's {name}", part)
            self._parts.run("replies", follower.run())
            await self._parts.wait(follower.ready.wait())
        except BaseException as error:
            await self._parts.__aexit__(type(error), error, None)
            raise
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        for pending in self._pending.values():
            pending.future.cancel()
        await self._parts.__aexit__(kind, error, trace)

    async def failed(self) -> None:
        """Return when the client is closed. Raises PartFailed when what sends or receives fails: no answer can come any more."""
        await self._parts.until_stopped()

    @property
    def connected(self) -> bool:
        """Whether the tasks that send and receive are at work."""
        return self._open and not self._parts.failed

    @property
    def answered(self) -> bool:
        """Whether requests get answers, as far as any were asked lately."""
        return not self._silence.lasts(self._now())

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""
        return self.room.places

    @property
    def taken(self) -> dict[str, int]:
        """What is taken at the moment; all of it is 0 when nobody waits for anything."""
        return {
            "places": self.room.places,
            "bytes": self.room.bytes,
            "pending": len(self._pending),
            "unacknowledged": self._unacknowledged,
        }

    async def predict(
        self,
        model: str,
        inputs: Any,
        *,
        routing_key: str = "",
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> dict[str, Any]:
        """Return the answer: {"model", "version", "outputs": {name: rows}}.

        `inputs` is a row, a list of rows or an object of named features; `deadline` is in seconds from now; `request_id` is a
        label for logs and labels, and any number of requests may have the same. Raises the typed error of the reply
        (InvalidInput, ModelNotFound, NoWorker, ModelFailed, ...) or DeadlineExceeded.
        """
        body = json_of({"inputs": inputs})
        reply = await self.send(model, body, routing_key=routing_key, deadline=deadline, request_id=request_id)
        document: dict[str, Any] = orjson.loads(reply.body)
        if not reply.ok:
            raise from_problem(document)
        return document

    async def predict_many(
        self, model: str, rows: Sequence[Any], **options: Unpack[PredictOptions]
    ) -> list[dict[str, Any]]:
        """Return the answers to many rows, each a request of its own, all in flight at once."""
        return list(await asyncio.gather(*(self.predict(model, row, **options) for row in rows)))

    async def send(
        self,
        model: str,
        body: bytes,
        *,
        content_type: str = records.JSON,
        routing_key: str = "",
        deadline: float | None = None,
        request_id: str | None = None,
        priority: Priority = "interactive",
        traceparent: str = "",
        pin: str = "",
        caller: str = "",
    ) -> Reply:
        """Publish a body as it is; return the reply, which may be an error reply. `pin` names the version that must answer.

        `caller` is the name under which a gateway knows whoever asks it.

        When no answer comes in good time the request is sent again, on another road and within the retry budget; the first
        answer is returned. Raises MalformedRequest, DeadlineExceeded, Overloaded or BrokerUnavailable.
        """
        if request_id is None:
            request_id = os.urandom(16).hex()
        elif not REQUEST_ID.fullmatch(request_id):
            raise MalformedRequest(
                "a request id has 1 to 128 letters, digits, '.', '_', ':' or '-'", field="request_id"
            )
        if len(body) > self._settings.max_body_bytes:
            raise RequestTooLarge(
                f"the request has {len(body)} bytes, more than may be ({self._settings.max_body_bytes}, the setting "
                "max_body_bytes): send fewer rows at a time",
                field="inputs",
            )
        seconds = min(deadline or self._settings.deadline, self._settings.max_deadline)
        if seconds != seconds:
            raise MalformedRequest("a deadline is a number of seconds, not NaN", field="deadline")
        request = PredictionRequest(
            request_id=request_id,
            model=model,
            deadline=time.time() + seconds,
            reply_topic=self._replies.name,
            reply_partition=self.reply_partition,
            body=body,
            routing_key=routing_key,
            content_type=content_type,
            priority=priority,
            traceparent=traceparent,
            pin=pin,
            nonce=os.urandom(16).hex(),
            caller=caller,
        )
        check_texts(request)
        if seconds >= self._settings.deadline:  # whoever has less patience than most says nothing of the mesh
            self._silence.asked(self._now())
        self.room.take(len(body))
        try:
            # Those whose callers have given up wait for Kafka too.
            if self._unacknowledged >= self._settings.max_in_flight:
                raise BrokerUnavailable("Kafka has not taken the requests before this one")
            return await self._answer(request, seconds)
        finally:
            self.room.give_back(len(body))

    async def _answer(self, request: PredictionRequest, seconds: float) -> Reply:
        """Send a request and return its reply; whatever comes of it, nothing of it is left here."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        key = request.nonce.encode()
        pending = self._pending[key] = _Pending(request, loop.create_future(), now, now + seconds)
        timer = loop.call_later(seconds, self._expire, pending)
        try:
            self._budget.request(now)
            self._send(pending)
            return await pending.future
        finally:
            timer.cancel()
            if pending.retry is not None:
                pending.retry.cancel()
            del self._pending[key]

    def _send(self, pending: _Pending) -> None:
        """Send a request, the first time or again."""
        request = pending.request
        partition = self._partitions.choose(self._replicas.live(), pending.tried)
        pending.tried.append(partition)
        self._outbox.send(
            self._requests.name,
            request.body,
            key=request.routing_key or request.request_id,
            partition=partition,
            headers=request.headers(),
            acknowledged=partial(self._on_acknowledged, pending),
            expires=pending.expires,
        )
        self._unacknowledged += 1  # behind the call: what was not queued is never acknowledged

    def _send_again_later(self, pending: _Pending) -> None:
        request, loop = pending.request, asyncio.get_running_loop()
        delay = self._delays.get(request.model, self._unknown).before(request.attempt + 1 + pending.refused)
        if request.attempt < self._settings.max_attempts and loop.time() + delay < pending.expires:
            pending.retry = loop.call_later(delay, self._send_again, pending)

    def _send_again(self, pending: _Pending) -> None:
        if pending.future.done():
            return
        if not self._budget.withdraw(self._now()):
            pending.refused += 1  # it asks again, less and less often: the budget fills up with each request
            self._send_again_later(pending)
        else:
            pending.request = replace(pending.request, attempt=pending.request.attempt + 1)
            self.retries += 1
            self._send(pending)

    def _expire(self, pending: _Pending) -> None:
        if not pending.future.done():
            pending.future.set_exception(
                DeadlineExceeded(f"no answer from {pending.request.model} within the deadline")
                if pending.acknowledged
                else BrokerUnavailable("Kafka did not take the request within its deadline")
            )

    def _on_acknowledged(self, pending: _Pending, sent: asyncio.Future[object]) -> None:
        self._unacknowledged -= 1
        if sent.cancelled():
            return
        error = sent.exception()
        if error is None:
            pending.acknowledged = True
            if not pending.future.done():
                # Only now: what Kafka has not taken yet needs no second copy, only patience.
                self._send_again_later(pending)
        elif not pending.acknowledged and not pending.future.done():
            pending.future.set_exception(
                answer_for(error, "the request")
                if is_permanent(error)
                else BrokerUnavailable(f"Kafka did not take the request: {error}")
            )

    def _on_record(self, record: ConsumerRecord) -> None:
        pending = self._pending.get(record.key)
        if pending is None or pending.future.done():
            self.foreign += 1
            return
        reply = answer_to(pending.request, record)
        if reply is None:
            self.mismatched += 1  # whoever wrote that, the answer is still to come
            return
        if reply.status == DeadlineExceeded.status:
            skew = skew_of(record, time.time(), pending.expires - self._now())
            if skew:
                pending.future.set_exception(DeadlineExceeded(clocks_differ(skew)))
                return
        pending.future.set_result(reply)
        self._silence.answered()
        if reply.ok and reply.attempt == 1:
            delay = self._delays.get(reply.model)
            if delay is None:
                delay = self._delays[reply.model] = RetryDelay(self._settings.retry_least, random.random)
            delay.answered(self._now() - pending.began)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass(slots=True)
class _Pending:
    request: PredictionRequest
    future: asyncio.Future[Reply]
    began: float
    expires: float
    acknowledged: bool = False
    refused: int = 0  # retries that the budget had nothing for
    tried: list[int] = field(default_factory=list)
    retry: asyncio.TimerHandle | None = None
