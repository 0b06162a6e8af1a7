"""The Kafka client: publishes requests and awaits their replies on one partition of `replies`."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias, TypedDict, Unpack
from uuid import uuid4
from zlib import crc32

import orjson
from aiokafka import ConsumerRecord

from ..broker.kafka.connection import make_producer, start_producer
from ..broker.kafka.outbox import Outbox
from ..broker.kafka.topic_follower import TopicFollower
from ..broker.views.replicas import ReplicaView
from ..models.values.json_values import json_of
from ..runtime.chaos import Chaos
from ..runtime.lifecycle import Lifecycle
from ..schemas import records
from ..schemas.errors import BrokerUnavailable, from_problem
from ..schemas.records import PredictionRequest, Priority, Reply
from ..schemas.settings.client import ClientSettings
from .adaptive_linger import AdaptiveLinger
from .in_flight_quota import InFlightQuota
from .outage_detector import OutageDetector
from .pending_requests import PendingRequest, PendingRequests
from .request_checks import check_size, check_texts, checked_id, seconds_to_wait
from .request_partitions import RequestPartitions

# A request whose caller awaits the future.
Pending: TypeAlias = PendingRequest[asyncio.Future[Reply]]


class PredictOptions(TypedDict, total=False):
    """The options of `PredictionClient.predict`."""

    routing_key: str
    deadline: float | None
    request_id: str | None


class PredictionClient:
    """Requests predictions over Kafka, many at a time. Use it as an async context manager.

    ```python
    async with PredictionClient(kafka="127.0.0.1:9092") as client:
        answer = await client.predict("fraud", {"amount": 200, "merchant": "Acme"})
        answer["outputs"]["label"]
    ```
    """

    def __init__(
        self, settings: ClientSettings | None = None, *, kafka: str | None = None, replicas: ReplicaView | None = None
    ) -> None:
        settings = settings or ClientSettings()
        update = {"name": f"client-{uuid4().hex[:12]}"} | ({"kafka": kafka} if kafka else {})
        self._settings = settings.model_copy(update=update)
        self._given_replicas = replicas
        topics = self._settings.topics()
        self._requests = topics.requests
        self._replies = topics.replies
        # Clients may share a partition: each recognizes its own replies by their nonces.
        self.reply_partition = crc32(self._settings.name.encode()) % topics.replies.partitions
        self._pending: PendingRequests[asyncio.Future[Reply]] = PendingRequests(
            RequestPartitions(topics.requests.partitions, crc32(self._settings.name.encode())),
            max_attempts=self._settings.max_attempts,
            retry_budget=self._settings.retry_budget,
            min_delay=self._settings.retry_least,
            uniform=random.random,
        )
        self.quota = InFlightQuota(self._settings.max_in_flight, self._settings.max_in_flight_bytes)
        self._linger = AdaptiveLinger()
        self._outage = OutageDetector(self._settings.max_deadline)
        self._unacknowledged = 0
        self._open = False

    async def __aenter__(self) -> PredictionClient:
        self._producer = make_producer(self._settings)
        self._chaos = Chaos(self._settings)
        self._outbox = Outbox(self._producer, self._chaos.send_delay, lambda: self._linger.seconds(len(self._pending)))
        running = {"outbox": self._outbox.run(), "faults": self._chaos.run()}
        if self._given_replicas is None:
            self._replicas = ReplicaView(self._settings)
            running["replicas"] = self._replicas.run()
        else:
            self._replicas = self._given_replicas  # its owner runs it
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
        for pending in self._pending:
            pending.future.cancel()
        await self._parts.__aexit__(kind, error, trace)

    async def failed(self) -> None:
        """Return when the client is closed. Raises PartFailed if sending or receiving has failed, so that no answer can come."""
        await self._parts.until_stopped()

    @property
    def connected(self) -> bool:
        """Whether the tasks that send and receive are running."""
        return self._open and not self._parts.failed

    @property
    def answered(self) -> bool:
        """Whether recent requests were answered; True if there were none."""
        return not self._outage.active(self._now())

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""
        return self.quota.requests

    @property
    def retries(self) -> int:
        """Number of retries."""
        return self._pending.retries

    @property
    def foreign(self) -> int:
        """Replies on this partition to no request in flight here: of other clients, second or late ones."""
        return self._pending.foreign

    @property
    def mismatched(self) -> int:
        """Replies with a nonce of this client that do not match the request otherwise."""
        return self._pending.mismatched

    @property
    def in_use(self) -> dict[str, int]:
        """Resources in use; all 0 when no request is in flight."""
        return {
            "requests": self.quota.requests,
            "bytes": self.quota.bytes,
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
        name for logs and labels and need not be unique. Raises the typed error of the reply
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
        """Return the answers to many rows, each sent as its own request, all in parallel."""
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
        pinned_version: str = "",
        caller: str = "",
    ) -> Reply:
        """Publish a body unchanged; return the reply, which may be an error reply. `pinned_version` must answer, if given.

        `caller` is the name of a gateway's caller.

        If no answer comes in time, the request is sent again to another router, within the retry budget. The first answer is
        returned. Raises MalformedRequest, DeadlineExceeded, Overloaded or BrokerUnavailable.
        """
        request_id = checked_id(request_id)
        check_size(body, self._settings.max_body_bytes)
        seconds = seconds_to_wait(deadline, self._settings)
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
            pinned_version=pinned_version,
            nonce=os.urandom(16).hex(),
            caller=caller,
        )
        check_texts(request)
        if seconds >= self._settings.deadline:  # shorter deadlines do not indicate an outage
            self._outage.sent(self._now())
        self.quota.acquire(len(body))
        try:
            # Also counts requests whose callers have given up.
            if self._unacknowledged >= self._settings.max_in_flight:
                raise BrokerUnavailable("Kafka has not acknowledged the previous requests")
            return await self._answer(request, seconds)
        finally:
            self.quota.release(len(body))

    async def _answer(self, request: PredictionRequest, seconds: float) -> Reply:
        """Send a request and return its reply; remove it in any case."""
        loop = asyncio.get_running_loop()
        pending = self._pending.add(request, loop.create_future(), loop.time(), seconds)
        timer = loop.call_later(seconds, self._pending.expire, pending)
        try:
            self._send(pending)
            return await pending.future
        finally:
            timer.cancel()
            if pending.retry is not None:
                pending.retry.cancel()
            self._pending.remove(pending)

    def _send(self, pending: Pending) -> None:
        """Send an attempt."""
        partition = self._pending.next_partition(pending, self._replicas.live())
        request = pending.request
        self._replicas.expect_router(partition)
        self._outbox.send(
            self._requests.name,
            request.body,
            key=request.routing_key or request.request_id,
            partition=partition,
            headers=request.headers(),
            acknowledged=partial(self._on_acknowledged, pending),
            expires=pending.expires,
        )
        self._unacknowledged += 1  # after the call: if it raises, nothing will be acknowledged

    def _schedule_retry(self, pending: Pending) -> None:
        delay = self._pending.retry_delay(pending, self._now())
        if delay is not None:
            pending.retry = asyncio.get_running_loop().call_later(delay, self._retry, pending)

    def _retry(self, pending: Pending) -> None:
        if pending.future.done():
            return
        if self._pending.retry(pending, self._now()):
            self._send(pending)
        else:
            self._schedule_retry(pending)

    def _on_acknowledged(self, pending: Pending, sent: asyncio.Future[object]) -> None:
        self._unacknowledged -= 1
        if not sent.cancelled() and self._pending.sent(pending, sent.exception()):
            self._schedule_retry(pending)

    def _on_record(self, record: ConsumerRecord) -> None:
        seconds = self._pending.receive(record, self._now(), time.time())
        if seconds is not None:
            self._outage.answered()
            self._linger.answered(seconds)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
