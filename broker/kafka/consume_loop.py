"""The consume-process-produce loop: offsets are committed only after the results are acknowledged.

The handler gets each record and a `Delivery`; it calls `finish` when nothing of the record is left to do, at once or much
later, in any order. A partition with too much in hand is paused until half of it is done. When partitions are taken
away, and at the end, what is in hand is finished and committed first. After a consumer that died with records in hand its
successor takes them one at a time (see suspects).
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, OffsetAndMetadata, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from ...schemas.errors import BrokerUnavailable
from .offsets import OffsetTracker
from .send_errors import is_permanent
from .suspects import CLEAN, IN_USE, TRYING, Suspects

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
            self._loop._finish(self.partition, self.offset)
        else:
            self._loop.fail(error)


Handler: TypeAlias = Callable[[ConsumerRecord, Delivery], None]
# Gets a record that cannot be handled, the reason, and the stack where there is one; it must see to it that it is finished.
PutAside: TypeAlias = Callable[[ConsumerRecord, Delivery, str, str], None]
# Returns offset and metadata of what a group has committed of some partitions.
ReadCommits: TypeAlias = Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, OffsetAndMetadata]]]


class ConsumeLoop(ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs one consumer of a group. `handler` must not block; a record on which it raises is put aside.

    With `read_commits` the loop looks for records that kill their worker; `alone` is held while one is tried.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topics: list[str],
        handler: Handler,
        *,
        put_aside: PutAside,
        read_commits: ReadCommits | None = None,
        alone: asyncio.Lock | None = None,
        queue_limit: int = 2048,
        commit_interval: float = 0.2,
        drain_timeout: float = 20.0,
        on_assignment: Callable[[set[int]], None] | None = None,
    ) -> None:
        self._consumer = consumer
        self._topics = topics
        self._handler = handler
        self._put_aside = put_aside
        self._read_commits = read_commits
        self._alone = alone or asyncio.Lock()
        self._unchecked: set[TopicPartition] = set()
        self._suspects: dict[TopicPartition, Suspects] = {}
        self._careful: dict[TopicPartition, asyncio.Task[None]] = {}
        self._held: tuple[int, ...] = ()
        self._joined = False
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
    def joined(self) -> bool:
        """Whether the group has given this consumer its partitions, or said that there are none for it."""
        return self._joined

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions held now; while the group reassigns them, those held before: most of them come back."""
        return self._held

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and the records of it that are not finished, as far as they have been seen."""
        for partition, tracker in self._trackers.items():
            end = self._consumer.highwater(partition)
            taken = tracker.committable
            if taken is None:
                taken = self._committed.get(partition)
            if end is not None and taken is not None:
                yield (partition.topic, str(partition.partition)), float(max(0, end - taken))

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
            tasks = (committing, fetching, stopping, *self._careful.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._failure.done():
                self._failure.cancel()
            await self._consumer.stop()

    async def _fetch(self) -> None:
        trackers = self._trackers
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000, max_records=1000)
            owned = {partition: trackers.get(partition) for partition in batches}
            if self._unchecked:
                await self._inspect({partition: records[0].offset for partition, records in batches.items()})
            for partition, records in batches.items():
                tracker = trackers.get(partition)
                if tracker is None or tracker is not owned[partition]:
                    continue  # taken away since it was fetched; its next owner gets these, be it this one
                for record in records:
                    tracker.take(record.offset)
                if partition in self._suspects:
                    self._consumer.pause(partition)
                    task = asyncio.create_task(self._one_by_one(partition, tracker, records))
                    task.add_done_callback(self._careful_ended)
                    self._careful[partition] = task
                    continue
                for record in records:
                    self._handle(record, partition)
                if len(tracker) >= self._queue_limit and partition in self._consumer.assignment():
                    self._paused.add(partition)
                    self._consumer.pause(partition)

    def _handle(self, record: ConsumerRecord, partition: TopicPartition) -> None:
        delivery = Delivery(self, partition, record.offset)
        try:
            self._handler(record, delivery)
        except Exception as error:  # a record that nobody thought of must not stop those behind it
            log.exception("record.unhandled", topic=record.topic, partition=record.partition, offset=record.offset)
            try:
                self._put_aside(record, delivery, f"{type(error).__name__}: {error}", traceback.format_exc())
            except Exception:  # not even that: the log above names it
                log.exception("record.lost", topic=record.topic, partition=record.partition, offset=record.offset)
                delivery.finish()

    async def _inspect(self, firsts: dict[TopicPartition, int]) -> None:
        """Look at what the last owner of newly assigned partitions left behind; `firsts` are their next offsets."""
        partitions = [partition for partition in firsts if partition in self._unchecked]
        if not partitions:
            return
        if self._read_commits is not None:
            try:
                commits = await self._read_commits(partitions)
            except (KafkaError, BrokerUnavailable) as error:
                log.warning("suspects.unknown", error=str(error))
                return  # the next records bring us here again
            for partition in partitions:
                commit = commits.get(partition)
                # Not asked for: the answer would wait behind the fetch that waits at the broker.
                end = self._consumer.highwater(partition) or firsts[partition]
                found = commit and Suspects.from_commit(commit.offset, commit.metadata, end)
                if found and partition in self._trackers:
                    self._suspects[partition] = found
                    log.info("suspects.found", partition=partition.partition, until=found.until, killer=found.killer)
        self._unchecked.difference_update(partitions)
        await self._commit_as(
            {partition: (firsts[partition], IN_USE) for partition in partitions if partition not in self._suspects}
        )

    async def _one_by_one(
        self, partition: TopicPartition, tracker: OffsetTracker, records: list[ConsumerRecord]
    ) -> None:
        """Handle suspects alone, each marked before it is tried, and those behind them as ever."""
        suspects = self._suspects[partition]
        for record in records:
            if self._trackers.get(partition) is not tracker:
                return  # taken away meanwhile
            if record.offset >= suspects.until:
                self._handle(record, partition)
            elif record.offset == suspects.killer:
                self._put_aside(record, Delivery(self, partition, record.offset), "its worker died on it twice", "")
            else:
                async with self._alone:
                    await self._commit_as({partition: (record.offset, TRYING)})
                    self._handle(record, partition)
                    while record.offset in tracker:
                        self._progressed.clear()
                        await self._progressed.wait()
        if records[-1].offset + 1 >= suspects.until:
            self._suspects.pop(partition, None)
            await self._commit_as({partition: (tracker.committable or records[0].offset, IN_USE)})
        self._careful.pop(partition, None)
        if partition in self._consumer.assignment() and partition not in self._paused:
            self._consumer.resume(partition)

    def _careful_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def _finish(self, partition: TopicPartition, offset: int) -> None:
        tracker = self._trackers.get(partition)
        if tracker is None:
            return  # taken away; its next owner gets it again
        tracker.finish(offset)
        self._progressed.set()
        if partition in self._paused and len(tracker) <= self._queue_limit // 2:
            self._paused.discard(partition)
            if partition in self._consumer.assignment() and partition not in self._careful:
                self._consumer.resume(partition)

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._commit_interval)
            await self._commit(list(self._trackers))

    async def _commit(self, partitions: list[TopicPartition], *, clean: bool = False) -> None:
        offsets: dict[TopicPartition, tuple[int, str]] = {}
        for partition in partitions:
            tracker = self._trackers.get(partition)
            offset = tracker.committable if tracker is not None else None
            if clean and not tracker and partition not in self._suspects:
                offset = offset if offset is not None else self._committed.get(partition)
                if offset is not None:
                    offsets[partition] = offset, CLEAN
            elif offset is not None and offset != self._committed.get(partition):
                offsets[partition] = offset, IN_USE
        await self._commit_as(offsets)

    async def _commit_as(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
            self._committed |= {partition: offset for partition, (offset, _) in offsets.items()}
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
        await self._commit(partitions, clean=True)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish and commit what is in hand before the partitions go to somebody else."""
        await self._drain(list(revoked))
        for partition in revoked:
            self._trackers.pop(partition, None)
            self._committed.pop(partition, None)
            self._paused.discard(partition)
            self._unchecked.discard(partition)
            self._suspects.pop(partition, None)
            if (careful := self._careful.pop(partition, None)) is not None:
                careful.cancel()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Begin afresh with the partitions that are ours now."""
        for partition in assigned:
            self._trackers.setdefault(partition, OffsetTracker())
            self._unchecked.add(partition)
        self._joined = True
        self._held = tuple(sorted(partition.partition for partition in assigned))
        if self._on_assignment is not None:
            self._on_assignment({partition.partition for partition in assigned})
