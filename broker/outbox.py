"""Send records from callbacks: `send` queues and returns, one task hands the records to the producer in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from ..schemas.records import Headers


@dataclass(slots=True, frozen=True)
class Outgoing:
    """One record on its way; `acknowledged` is called with the broker's answer."""

    topic: str
    value: bytes | None
    key: bytes
    partition: int | None
    headers: Headers
    acknowledged: Callable[[asyncio.Future[object]], None] | None


class Outbox:
    """A producer for callbacks. Its bound is the caller's: whoever takes no more than it may keeps this short too."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
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
    ) -> None:
        """Queue a record. `acknowledged` gets a finished future: with the metadata, or with the error."""
        self._waiting.append(Outgoing(topic, value, key.encode(), partition, headers, acknowledged))
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


class Together:
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
