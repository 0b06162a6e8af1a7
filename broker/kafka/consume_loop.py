"""The consume-process-produce loop: offsets are committed only after the results are acknowledged.

The handler gets each record and a `Delivery`, and calls `finish` when the record's results are safe, in any order. A partition
at its limit of records in hand is paused until half of them are finished. On a rebalance and on stop, the records in hand
are finished and committed first. If a consumer died with records in hand, its successor handles them one at a time (see
partition_state).
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, OffsetAndMetadata, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from ...schemas.errors import BrokerUnavailable
from .connection import ReadCommits
from .delivery import DeadLetterHandler, Delivery, Handler
from .partition_state import Commit, PartitionState, PoisonCheck

log = structlog.get_logger(__name__)
# This many finished records are committed within EARLIEST_COMMIT seconds; fewer wait for the interval, to save exchanges.
COMMIT_RECORDS, EARLIEST_COMMIT = 100, 0.2


class ConsumeLoop(ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs one consumer of a group. `handler` must not block; a record on which it raises goes to `dead_letter`.

    `on_fetch` is called when records have come. With `read_commits` poison records are detected, each tried under `alone`.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topics: list[str],
        handler: Handler,
        *,
        dead_letter: DeadLetterHandler,
        read_commits: ReadCommits | None = None,
        alone: asyncio.Lock | None = None,
        queue_limit: int = 2048,
        commit_interval: float = 1.0,
        drain_timeout: float = 20.0,
        on_assignment: Callable[[set[int]], None] = lambda _: None,
        on_fetch: Callable[[], None] = lambda: None,
    ) -> None:
        self._consumer = consumer
        self._topics = topics
        self._handler = handler
        self._dead_letter = dead_letter
        self._read_commits = read_commits
        self._alone = alone or asyncio.Lock()
        self._queue_limit = queue_limit
        self._commit_interval = commit_interval
        self._drain_timeout = drain_timeout
        self._on_assignment = on_assignment
        self._on_fetch = on_fetch
        self._handing_over = False
        self._states: dict[TopicPartition, PartitionState] = {}
        self._checks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._assigned: tuple[int, ...] = ()
        self._joined = False
        self._progressed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def in_hand(self) -> int:
        """Records taken and not finished."""
        return sum(map(len, self._states.values()))

    @property
    def joined(self) -> bool:
        """Whether the group has assigned this consumer its partitions, which may be none."""
        return self._joined

    @property
    def partitions(self) -> tuple[int, ...]:
        """The assigned partitions; during a rebalance the previous ones, most of which come back."""
        return self._assigned

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and its number of unfinished records, up to the high watermark last seen."""
        for partition, state in self._states.items():
            end, position = self._consumer.highwater(partition), state.position
            if end is not None and position is not None:
                yield (partition.topic, str(partition.partition)), float(max(0, end - position))

    def stop(self) -> None:
        """Take no more records; `run` finishes those in hand, commits, leaves the group and returns."""
        self._stopping.set()

    def fail(self, error: BaseException) -> None:
        """End `run` with this error. Uncommitted records will be delivered again."""
        if not self._failure.done():
            self._failure.set_exception(error)

    async def run(self) -> None:
        """Consume until `stop`. Raises the error that ended the loop."""
        await self._consumer.start()
        self._consumer.subscribe(self._topics, listener=self)
        committing = asyncio.create_task(self._commit_periodically())
        fetching = asyncio.create_task(self._fetch())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            ends: list[asyncio.Future[Any]] = [committing, fetching, stopping, self._failure]
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            fetching.cancel()
            for ended in done:
                ended.result()
            await self._drain(list(self._states))
        finally:
            for task in (tasks := (committing, fetching, stopping, *self._checks.values())):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._failure.done():
                self._failure.cancel()
            await self._consumer.stop()

    async def _fetch(self) -> None:
        states = self._states
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000, max_records=1000)
            if batches:
                self._on_fetch()
            fetched_for = {partition: states.get(partition) for partition in batches}
            new = {
                partition: batches[partition][0].offset
                for partition, state in fetched_for.items()
                if state is not None and not state.owned
            }
            if new:
                await self._take_over(new)
            for partition, records in batches.items():
                state = states.get(partition)
                if state is None or state is not fetched_for[partition]:
                    continue  # revoked since the fetch; its next owner, possibly this one, gets these
                state.take([record.offset for record in records])
                if state.check is not None:
                    self._start_check(partition, state, state.check, records)
                    continue
                for record in records:
                    self._handle(record, partition)
                if state.pause_if_full() and partition in self._consumer.assignment():
                    self._consumer.pause(partition)

    def _handle(self, record: ConsumerRecord, partition: TopicPartition) -> None:
        delivery = Delivery(self, partition, record.offset)
        try:
            self._handler(record, delivery)
        except Exception as error:  # an unexpected record must not block those behind it
            log.exception("record.unhandled", topic=record.topic, partition=record.partition, offset=record.offset)
            try:
                self._dead_letter(record, delivery, f"{type(error).__name__}: {error}", traceback.format_exc())
            except Exception:  # the log entry names the record
                log.exception("record.lost", topic=record.topic, partition=record.partition, offset=record.offset)
                delivery.finish()

    async def _take_over(self, firsts: dict[TopicPartition, int]) -> None:
        """Read the previous owners' commits of newly assigned partitions; `firsts` are their next offsets."""
        commits: dict[TopicPartition, OffsetAndMetadata] = {}
        if self._read_commits is not None:
            try:
                commits = await self._read_commits(list(firsts))
            except (KafkaError, BrokerUnavailable) as error:
                log.warning("suspects.unknown", error=str(error))
                return  # the next fetch tries again
        claims: dict[TopicPartition, Commit] = {}
        for partition, first in firsts.items():
            if (state := self._states.get(partition)) is None:
                continue
            commit = commits.get(partition)
            # Not `end_offsets`: its answer would wait behind the pending fetch.
            end = self._consumer.highwater(partition) or first
            check = PoisonCheck.after(commit.offset, commit.metadata, end) if commit else None
            if check is not None:
                log.info("suspects.found", partition=partition.partition, until=check.until, killer=check.poison)
            if (claim := state.own(check, first)) is not None:
                claims[partition] = claim
        await self._commit_as(claims)

    def _start_check(
        self, partition: TopicPartition, state: PartitionState, check: PoisonCheck, records: list[ConsumerRecord]
    ) -> None:
        state.begin_check()
        self._consumer.pause(partition)
        task = asyncio.create_task(self._one_by_one(partition, state, check, records))
        task.add_done_callback(self._check_ended)
        self._checks[partition] = task

    async def _one_by_one(
        self, partition: TopicPartition, state: PartitionState, check: PoisonCheck, records: list[ConsumerRecord]
    ) -> None:
        """Handle suspect records one at a time, each marked in a commit before it is tried, then the others as usual."""
        for record in records:
            offset = record.offset
            if offset >= check.until:
                break
            while not state.may_try(offset):
                await self._progress()
            if offset == check.poison:
                self._dead_letter(record, Delivery(self, partition, offset), "its worker died on it twice", "")
                continue
            async with self._alone:
                await self._commit_as({partition: state.try_alone(offset)})
                self._handle(record, partition)
                while offset in state:
                    await self._progress()
        # Otherwise the mark would blame the last suspect for a crash on a later record.
        await self._commit_as({partition: state.next_commit()})
        if self._states.get(partition) is not state:
            return  # revoked meanwhile
        state.end_check(records[-1].offset)
        self._checks.pop(partition, None)
        for record in records:
            if record.offset >= check.until:
                self._handle(record, partition)
        if partition in self._consumer.assignment() and not state.pause_if_full():
            self._consumer.resume(partition)

    def _check_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    async def _progress(self) -> None:
        """Wait until any record is finished."""
        self._progressed.clear()
        await self._progressed.wait()

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """Finish a record; resume its partition if it is below its limit again."""
        state = self._states.get(partition)
        if state is None:
            return  # revoked; its next owner gets the record again
        may_fetch = state.finish(offset)
        self._progressed.set()
        if may_fetch and partition in self._consumer.assignment():
            self._consumer.resume(partition)

    async def _commit_periodically(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(min(self._commit_interval, EARLIEST_COMMIT))
            many = sum(state.uncommitted for state in self._states.values()) >= COMMIT_RECORDS
            # Not while the last commit is under way: its mark would be replaced.
            if (many or time.monotonic() >= last + self._commit_interval) and not self._handing_over:
                last = time.monotonic()
                await self._commit_as({partition: state.next_commit() for partition, state in self._states.items()})

    async def _commit_as(self, commits: Mapping[TopicPartition, Commit | None]) -> None:
        if not (given := {partition: commit for partition, commit in commits.items() if commit is not None}):
            return
        states = {partition: self._states[partition] for partition in given if partition in self._states}
        try:
            await self._consumer.commit(given)
            for partition, state in states.items():
                state.committed(given[partition][0])
        except (CommitFailedError, IllegalStateError) as error:
            # A rebalance took the partitions. The next owner repeats these records, and clients drop the second replies.
            log.info("commit.superseded", error=str(error))
        except KafkaError as error:
            # Not lost: the next commit includes it.
            log.warning("commit.failed", error=str(error))

    async def _drain(self, partitions: list[TopicPartition]) -> None:
        """Wait until the partitions have nothing in hand, at most `drain_timeout`, and commit."""
        deadline = time.monotonic() + self._drain_timeout
        while any(self._states.get(partition) for partition in partitions) and not self._failure.done():
            try:
                await asyncio.wait_for(self._progress(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                log.warning("drain.timeout", in_hand=self.in_hand)
                break
        self._handing_over = True
        try:
            await self._commit_as({p: self._states[p].last_commit() for p in partitions if p in self._states})
        finally:
            self._handing_over = False

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish and commit the records in hand before the partitions are reassigned."""
        await self._drain(list(revoked))
        for partition in revoked:
            self._states.pop(partition, None)
            if (check := self._checks.pop(partition, None)) is not None:
                check.cancel()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Create the states of newly assigned partitions."""
        for partition in assigned:
            self._states.setdefault(partition, PartitionState(self._queue_limit))
        self._joined = True
        self._assigned = tuple(sorted(partition.partition for partition in assigned))
        self._on_assignment({partition.partition for partition in assigned})
