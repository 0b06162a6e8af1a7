"""A record in hand: whoever handles it says when its results are safe."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from aiokafka import TopicPartition

from .send_errors import is_permanent

log = structlog.get_logger(__name__)


class Deliverer(Protocol):
    """What a delivery reports to: the consume loop."""

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """Nothing is left to do for this record."""

    def fail(self, error: BaseException) -> None:
        """The record must be delivered again."""


class Delivery:
    """One record in hand. `finish` says that its results are safe."""

    __slots__ = ("_loop", "offset", "partition")

    def __init__(self, loop: Deliverer, partition: TopicPartition, offset: int) -> None:
        self._loop = loop
        self.partition = partition
        self.offset = offset

    def finish(self) -> None:
        """Nothing is left to do for this record."""
        self._loop.finish(self.partition, self.offset)

    def acknowledged(self, acknowledgement: asyncio.Future[object]) -> None:
        """Finish by the broker's answer to the result; without one the loop fails and the record comes again.

        A result that is refused for good finishes too: it would be refused again for each time that the record came.
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
