"""The Kafka client: publish a request, await its reply on a reply partition of one's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from uuid import uuid4
from zlib import crc32

import orjson
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from ..broker.connection import make_producer
from ..broker.outbox import Outbox
from ..broker.topic_follower import TopicFollower
from ..schemas import records
from ..schemas.errors import BrokerUnavailable, DeadlineExceeded, MalformedRecord, MalformedRequest, from_problem
from ..schemas.names import REQUEST_ID
from ..schemas.records import PredictionRequest, Reply
from ..schemas.settings import Settings

# So many requests in a row go to one partition: larger fetches for the router, still spread over all routers.
_STICKY = 64


class PredictionClient:
    """Ask for predictions over Kafka. Many requests can be in flight; use it as an async context manager.

    async with PredictionClient(kafka="127.0.0.1:9092") as client:
        answer = await client.predict("fraud", {"amount": 200, "merchant": "Acme"})
        answer["outputs"]["label"]
    """

    def __init__(self, settings: Settings | None = None, *, kafka: str | None = None) -> None:
        settings = settings or Settings()
        update = {"name": f"client-{uuid4().hex[:12]}"} | ({"kafka": kafka} if kafka else {})
        self._settings = settings.model_copy(update=update)
        topics = self._settings.topics()
        self._requests = topics.requests
        self._replies = topics.replies
        # Two clients may share a partition: each picks out its own answers by request id.
        self.reply_partition = crc32(self._settings.name.encode()) % topics.replies.partitions
        self._pending: dict[bytes, asyncio.Future[Reply]] = {}
        self._sent = crc32(self._settings.name.encode())
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> PredictionClient:
        self._producer = make_producer(self._settings)
        self._outbox = Outbox(self._producer)
        follower = TopicFollower(
            self._settings, self._replies, self._on_record, from_end=True, partitions=[self.reply_partition]
        )
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            await self._producer.stop()
            raise BrokerUnavailable(f"Kafka at {self._settings.kafka} cannot be reached: {error}") from error
        self._tasks = [asyncio.create_task(follower.run()), asyncio.create_task(self._outbox.run())]
        await follower.ready.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for future in self._pending.values():
            future.cancel()
        await self._producer.stop()

    @property
    def connected(self) -> bool:
        """Whether the tasks that send and receive are at work."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""
        return len(self._pending)

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

        `inputs` is a row, a list of rows or an object of named features; `deadline` is in seconds from now. Raises the
        typed error of the reply (InvalidInput, ModelNotFound, NoWorker, ModelFailed, ...) or DeadlineExceeded.
        """
        try:
            body = orjson.dumps({"inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)
        except orjson.JSONEncodeError as error:
            raise MalformedRequest(f"the inputs cannot be written as JSON: {error}", field="inputs") from None
        reply = await self.send(model, body, routing_key=routing_key, deadline=deadline, request_id=request_id)
        document: dict[str, Any] = orjson.loads(reply.body)
        if not reply.ok:
            raise from_problem(document)
        return document

    async def predict_many(self, model: str, rows: Sequence[Any], **options: Any) -> list[dict[str, Any]]:
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
        traceparent: str = "",
    ) -> Reply:
        """Publish a body as it is; return the reply, which may be an error reply. Raises DeadlineExceeded."""
        if request_id is None:
            request_id = uuid4().hex
        elif not REQUEST_ID.fullmatch(request_id):
            raise MalformedRequest(
                "a request id has 1 to 128 letters, digits, '.', '_', ':' or '-'", field="request_id"
            )
        key = request_id.encode()
        if key in self._pending:
            raise MalformedRequest(f"request {request_id} is in flight already", field="request_id")
        seconds = min(deadline or self._settings.deadline, self._settings.max_deadline)
        request = PredictionRequest(
            request_id=request_id,
            model=model,
            deadline=time.time() + seconds,
            reply_topic=self._replies.name,
            reply_partition=self.reply_partition,
            body=body,
            routing_key=routing_key,
            content_type=content_type,
            traceparent=traceparent,
        )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._pending[key] = future
        timer = loop.call_later(seconds, self._expire, key, model)
        self._sent += 1
        self._outbox.send(
            self._requests.name,
            body,
            key=routing_key or request_id,
            partition=self._sent // _STICKY % self._requests.partitions,
            headers=request.headers(),
            acknowledged=lambda sent: self._on_acknowledged(key, sent),
        )
        try:
            return await future
        finally:
            timer.cancel()
            self._pending.pop(key, None)

    def _expire(self, key: bytes, model: str) -> None:
        future = self._pending.get(key)
        if future is not None and not future.done():
            future.set_exception(DeadlineExceeded(f"no answer from {model} within the deadline"))

    def _on_acknowledged(self, key: bytes, sent: asyncio.Future[object]) -> None:
        if sent.cancelled() or (error := sent.exception()) is None:
            return
        future = self._pending.get(key)
        if future is not None and not future.done():
            future.set_exception(BrokerUnavailable(f"Kafka did not take the request: {error}"))

    def _on_record(self, record: ConsumerRecord) -> None:
        future = self._pending.get(record.key)
        if future is None or future.done():
            return  # another client's, a second answer, or one that came too late
        try:
            future.set_result(Reply.from_record(record.headers, record.value))
        except MalformedRecord as error:
            future.set_exception(error)
