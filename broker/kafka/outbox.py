"""Sends records from callbacks: `send` queues a record, and one task passes the records to the producer in order."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer

from ...schemas.errors import BrokerUnavailable
from ...schemas.headers import Headers
from ...schemas.value_class import value_class
from .send_errors import answer_for, is_permanent


@value_class
class Outgoing:
    """A queued record; `acknowledged` is called with the broker's answer."""

    topic: str
    value: bytes | None
    key: bytes
    partition: int | None
    headers: Headers
    acknowledged: Callable[[asyncio.Future[object]], None] | None
    expires: float  # on the loop's clock; not sent after that


class Outbox:
    """A producer for callbacks. The queue has no limit of its own: callers limit what they have in flight."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        delay: Callable[[str], float] = lambda topic: 0.0,
        linger: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`delay` returns the seconds by which to delay a record for a topic, for injected faults.

        `linger` returns the seconds that the first queued record waits for others.
        """
        self._producer = producer
        self._linger = linger
        self._delay = delay
        self._waiting: deque[Outgoing] = deque()
        self._queued = asyncio.Event()

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str,
        partition: int | None = None,
        headers: Headers = (),
        acknowledged: Callable[[asyncio.Future[object]], None] | None = None,
        expires: float = math.inf,
    ) -> None:
        """Queue a record. `acknowledged` gets a finished future with the metadata or the error.

        A record that is still queued at `expires` (on the loop's clock) is not sent; its error is a TimeoutError.
        """
        outgoing = Outgoing(topic, value, key.encode(), partition, headers, acknowledged, expires)
        if (delay := self._delay(topic)) > 0:
            asyncio.get_running_loop().call_later(delay, self._queue, outgoing)
        else:
            self._queue(outgoing)

    async def write(self, topic: str, records: Sequence[tuple[str, bytes]], headers: Headers = ()) -> None:
        """Send records, given as (key, value), with the same headers, and return once all are acknowledged.

        Raises BrokerUnavailable, or RequestTooLarge if a record exceeds the limit.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledged(sent: asyncio.Future[object]) -> None:
            if sent.cancelled() or written.done():
                return
            if (error := sent.exception()) is not None:
                what = f"the record for {topic}"
                written.set_exception(
                    answer_for(error, what)
                    if is_permanent(error)
                    else BrokerUnavailable(f"Kafka did not take {what}: {error}")
                )
            else:
                written.set_result(None)

        together = AckBarrier(len(records), acknowledged)
        for key, value in records:
            self.send(topic, value, key=key, headers=headers, acknowledged=together.acknowledged)
        await written

    def _queue(self, outgoing: Outgoing) -> None:
        self._waiting.append(outgoing)
        self._queued.set()

    async def run(self) -> None:
        """Pass queued records to the producer until cancelled."""
        while True:
            await self._queued.wait()
            if (seconds := self._linger()) > 0:
                await asyncio.sleep(seconds)
            self._queued.clear()
            while self._waiting:
                await self._pass_on(self._waiting.popleft())

    async def flushed(self) -> None:
        """Return once all queued records have been passed to the producer."""
        while self._waiting:
            await self._pass_on(self._waiting.popleft())

    async def _pass_on(self, outgoing: Outgoing) -> None:
        try:
            if asyncio.get_running_loop().time() >= outgoing.expires:
                raise TimeoutError("the record expired before it could be sent")
            future = await self._producer.send(
                outgoing.topic, outgoing.value, key=outgoing.key, partition=outgoing.partition, headers=outgoing.headers
            )
        except Exception as error:  # too large, no such topic, no broker: the sender decides what to do
            future = asyncio.get_running_loop().create_future()
            future.set_exception(error)
        if outgoing.acknowledged is not None:
            future.add_done_callback(outgoing.acknowledged)
        else:
            future.add_done_callback(_forget)


class AckBarrier:
    """Combines several acknowledgements: calls `acknowledged` with the last one, or with the first error."""

    def __init__(self, count: int, acknowledged: Callable[[asyncio.Future[object]], None]) -> None:
        self._remaining = count
        self._acknowledged = acknowledged

    def acknowledged(self, sent: asyncio.Future[object]) -> None:
        """Receive one acknowledgement."""
        self._remaining -= 1
        if self._remaining == 0 or (not sent.cancelled() and sent.exception() is not None):
            self._acknowledged(sent)


def _forget(future: asyncio.Future[object]) -> None:
    """Retrieve the error, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
