"""Send records from callbacks: `send` queues and returns, one task hands the records to the producer in order."""

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
    """One record on its way; `acknowledged` is called with the broker's answer."""

    topic: str
    value: bytes | None
    key: bytes
    partition: int | None
    headers: Headers
    acknowledged: Callable[[asyncio.Future[object]], None] | None
    expires: float  # on the loop's clock: nobody wants it any more then


class Outbox:
    """A producer for callbacks. Its bound is the caller's: whoever takes no more than it may keeps this short too."""

    def __init__(self, producer: AIOKafkaProducer, delay: Callable[[str], float] = lambda topic: 0.0) -> None:
        """`delay` gives the seconds by which a record for a topic is held back: faults are injected so."""
        self._producer = producer
        self._delay = delay
        self._waiting: deque[Outgoing] = deque()
        self._something = asyncio.Event()

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
        """Queue a record. `acknowledged` gets a finished future: with the metadata, or with the error.

        One that could not be handed over by `expires` (on the loop's clock) is not sent: its error is a TimeoutError.
        """
        outgoing = Outgoing(topic, value, key.encode(), partition, headers, acknowledged, expires)
        if (late := self._delay(topic)) > 0:
            asyncio.get_running_loop().call_later(late, self._queue, outgoing)
        else:
            self._queue(outgoing)

    async def write(self, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
        """Send records, each a key and a value, and return once the log has them.

        Raises BrokerUnavailable, or RequestTooLarge where one is larger than a record may be.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledged(sent: asyncio.Future[object]) -> None:
            if sent.cancelled() or written.done():
                return
            if (error := sent.exception()) is not None:
                what = f"what was written to {topic}"
                written.set_exception(
                    answer_for(error, what)
                    if is_permanent(error)
                    else BrokerUnavailable(f"Kafka did not take {what}: {error}")
                )
            else:
                written.set_result(None)

        together = AckBarrier(len(records), acknowledged)
        for key, value in records:
            self.send(topic, value, key=key, acknowledged=together.acknowledged)
        await written

    def _queue(self, outgoing: Outgoing) -> None:
        self._waiting.append(outgoing)
        self._something.set()

    async def run(self) -> None:
        """Hand over what is queued, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                await self._hand_over(self._waiting.popleft())

    async def flushed(self) -> None:
        """Return when what was queued has been handed to the producer."""
        while self._waiting:
            await self._hand_over(self._waiting.popleft())

    async def _hand_over(self, outgoing: Outgoing) -> None:
        try:
            if asyncio.get_running_loop().time() >= outgoing.expires:
                raise TimeoutError("nobody waits for this record any more")
            future = await self._producer.send(
                outgoing.topic, outgoing.value, key=outgoing.key, partition=outgoing.partition, headers=outgoing.headers
            )
        except Exception as error:  # too large, no such topic, no broker: its sender decides what that means
            future = asyncio.get_running_loop().create_future()
            future.set_exception(error)
        if outgoing.acknowledged is not None:
            future.add_done_callback(outgoing.acknowledged)
        else:
            future.add_done_callback(_forget)


class AckBarrier:
    """One acknowledgement out of several: passed on with the last of them, or at once with the first error."""

    def __init__(self, count: int, acknowledged: Callable[[asyncio.Future[object]], None]) -> None:
        self._left = count
        self._acknowledged = acknowledged

    def acknowledged(self, sent: asyncio.Future[object]) -> None:
        """Take one of the acknowledgements."""
        self._left -= 1
        if self._left == 0 or (not sent.cancelled() and sent.exception() is not None):
            self._acknowledged(sent)


def _forget(future: asyncio.Future[object]) -> None:
    """Mark an error as seen: nobody waits for this record."""
    if not future.cancelled():
        future.exception()
