"""A record in hand, which its handler finishes when the results are safe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeAlias

import structlog
from aiokafka import ConsumerRecord, TopicPartition

from .send_errors import is_permanent

log = structlog.get_logger(__name__)


class Deliverer(Protocol):
    """The consume loop, as a delivery sees it."""

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """The record's results are safe."""

    def fail(self, error: BaseException) -> None:
        """The record must be delivered again."""


class Delivery:
    """One record in hand."""

    __slots__ = ("_loop", "offset", "partition")

    def __init__(self, loop: Deliverer, partition: TopicPartition, offset: int) -> None:
        self._loop = loop
        self.partition = partition
        self.offset = offset

    def finish(self) -> None:
        """Report that the record's results are safe."""
        self._loop.finish(self.partition, self.offset)

    def acknowledged(self, acknowledgement: asyncio.Future[object]) -> None:
        """Finish the record if the broker has acknowledged its result; otherwise fail the loop, to get the record again.

        A permanently refused result finishes the record too: it would be refused again.
        """
        if acknowledgement.cancelled():
            return
        error = acknowledgement.exception()
        if error is None or is_permanent(error):
            if error is not None:
                where = {"topic": self.partition.topic, "partition": self.partition.partition, "offset": self.offset}
                log.error("result.refused", **where, error=f"{type(error).__name__}: {error}"[:300])
            self._loop.finish(self.partition, self.offset)
        else:
            self._loop.fail(error)


Handler: TypeAlias = Callable[[ConsumerRecord, Delivery], None]
# Gets a record that cannot be handled, its delivery, which it must finish, the reason, and the stack trace if there is one.
DeadLetterHandler: TypeAlias = Callable[[ConsumerRecord, Delivery, str, str], None]
