"""The consume-process-produce loop: offsets are committed only after the results are acknowledged.

The handler gets each record and a `Delivery`; it calls `finish` when nothing of the record is left to do, at once or much
later, in any order. A partition with too much in hand is paused until half of it is done. When partitions are taken
away, and at the end, what is in hand is finished and committed first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from .offsets import OffsetTracker

log = structlog.get_logger(__name__)


class Delivery:
    """One record in hand. `finish` says that its results are safe."""

    __slots__ = ("_loop", "offset", "partition")

    def __init__(self, loop: ConsumeLoop, partition: TopicPartition, offset: int) -> None:
        self._loop = loop
        self.partition = partition
        self.offset = offset

    def finish(self) -> None:
        """Nothing is left to do for this record."""
        self._loop._finish(self.partition, self.offset)

    def acknowledged(self, acknowledgement: asyncio.Future[object]) -> None:
        """Finish by the broker's answer to the result; without one the loop fails and the record comes again."""
        if acknowledgement.cancelled():
            return
        error = acknowledgement.exception()
        if error is None:
            self._loop._finish(self.partition, self.offset)
        else:
            self._loop.fail(error)


Handler: TypeAlias = Callable[[ConsumerRecord, Delivery], None]


class ConsumeLoop(ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs one consumer of a group. `handler` must not block and must not raise for a bad record."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topics: list[str],
        handler: Handler,
        *,
        queue_limit: int = 2048,
        commit_interval: float = 0.2,
        drain_timeout: float = 20.0,
        on_assignment: Callable[[set[int]], None] | None = None,
    ) -> None:
        self._consumer = consumer
        self._topics = topics
        self._handler = handler
        self._queue_limit = queue_limit
        self._commit_interval = commit_interval
        self._drain_timeout = drain_timeout
        self._on_assignment = on_assignment
        self._trackers: dict[TopicPartition, OffsetTracker] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._progressed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def in_hand(self) -> int:
        """Records taken and not finished."""
        return sum(map(len, self._trackers.values()))

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions held now."""
        return tuple(sorted(partition.partition for partition in self._trackers))

    def stop(self) -> None:
        """Take nothing more; `run` finishes what is in hand, commits, leaves the group and returns."""
        self._stopping.set()

    def fail(self, error: BaseException) -> None:
        """End `run` with this error; what was not committed will be delivered again."""
        if not self._failure.done():
            self._failure.set_exception(error)

    async def run(self) -> None:
        """Consume until `stop`. Raises what made the loop fail."""
        await self._consumer.start()
        self._consumer.subscribe(self._topics, listener=self)
        committing = asyncio.create_task(self._commit_now_and_then())
        fetching = asyncio.create_task(self._fetch())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            ends: list[asyncio.Future[Any]] = [committing, fetching, stopping, self._failure]
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            fetching.cancel()
            for ended in done:
                ended.result()
            await self._drain(list(self._trackers))
        finally:
            for task in (committing, fetching, stopping):
                task.cancel()
            await asyncio.gather(committing, fetching, stopping, return_exceptions=True)
            if not self._failure.done():
                self._failure.cancel()
            await self._consumer.stop()

    async def _fetch(self) -> None:
        handler, trackers = self._handler, self._trackers
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000, max_records=1000)
            for partition, records in batches.items():
                tracker = trackers.get(partition)
                if tracker is None:
                    continue  # taken away since it was fetched; its next owner gets these
                for record in records:
                    tracker.take(record.offset)
                    handler(record, Delivery(self, partition, record.offset))
                if len(tracker) >= self._queue_limit and partition in self._consumer.assignment():
                    self._consumer.pause(partition)
                    self._paused.add(partition)

    def _finish(self, partition: TopicPartition, offset: int) -> None:
        tracker = self._trackers.get(partition)
        if tracker is None:
            return
        tracker.finish(offset)
        self._progressed.set()
        if partition in self._paused and len(tracker) <= self._queue_limit // 2:
            self._paused.discard(partition)
            if partition in self._consumer.assignment():
                self._consumer.resume(partition)

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._commit_interval)
            await self._commit(list(self._trackers))

    async def _commit(self, partitions: list[TopicPartition]) -> None:
        offsets: dict[TopicPartition, int] = {}
        for partition in partitions:
            tracker = self._trackers.get(partition)
            offset = tracker.committable if tracker is not None else None
            if offset is not None and offset != self._committed.get(partition):
                offsets[partition] = offset
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
            self._committed |= offsets
        except (CommitFailedError, IllegalStateError) as error:
            # The group moved on without us. The next owner repeats these, and repeats are recognised by request id.
            log.info("commit.superseded", error=str(error))
        except KafkaError as error:
            # Not lost: the next commit says the same and more.
            log.warning("commit.failed", error=str(error))

    async def _drain(self, partitions: list[TopicPartition]) -> None:
        """Wait until the partitions have nothing in hand, for `drain_timeout` at most, and commit."""
        give_up = time.monotonic() + self._drain_timeout
        while any(self._trackers.get(partition) for partition in partitions) and not self._failure.done():
            self._progressed.clear()
            try:
                await asyncio.wait_for(self._progressed.wait(), max(0.0, give_up - time.monotonic()))
            except TimeoutError:
                log.warning("drain.timeout", in_hand=self.in_hand)
                break
        await self._commit(partitions)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish and commit what is in hand before the partitions go to somebody else."""
        await self._drain(list(revoked))
        for partition in revoked:
            self._trackers.pop(partition, None)
            self._committed.pop(partition, None)
            self._paused.discard(partition)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Begin afresh with the partitions that are ours now."""
        for partition in assigned:
            self._trackers.setdefault(partition, OffsetTracker())
        if self._on_assignment is not None:
            self._on_assignment({partition.partition for partition in assigned})
