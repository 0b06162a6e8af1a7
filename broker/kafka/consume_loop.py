"""The consume-process-produce loop: offsets are committed only after the results are acknowledged.

The handler gets each record and a `Delivery`; it calls `finish` when nothing of the record is left to do, at once or much
later, in any order. A partition with too much in hand is paused until half of it is done. When partitions are taken
away, and at the end, what is in hand is finished and committed first. After a consumer that died with records in hand its
successor takes them one at a time (see partition_state).
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, OffsetAndMetadata, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from ...schemas.errors import BrokerUnavailable
from .connection import ReadCommits
from .delivery import Delivery
from .partition_state import Commit, PartitionState, PoisonCheck

log = structlog.get_logger(__name__)


Handler: TypeAlias = Callable[[ConsumerRecord, Delivery], None]
# Gets a record that cannot be handled, the reason, and the stack where there is one; it must see to it that it is finished.
DeadLetterHandler: TypeAlias = Callable[[ConsumerRecord, Delivery, str, str], None]


class ConsumeLoop(ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs one consumer of a group. `handler` must not block; a record on which it raises goes to `dead_letter`.

    With `read_commits` the loop looks for poison records; `alone` is held while a record is tried alone.
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
        commit_interval: float = 0.2,
        drain_timeout: float = 20.0,
        on_assignment: Callable[[set[int]], None] | None = None,
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
        self._states: dict[TopicPartition, PartitionState] = {}
        self._checks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._held: tuple[int, ...] = ()
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
        """Whether the group has given this consumer its partitions, or said that there are none for it."""
        return self._joined

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions held now; while the group reassigns them, those held before: most of them come back."""
        return self._held

    def lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Iterate over (topic, partition) and the records of it that are not finished, as far as they have been seen."""
        for partition, state in self._states.items():
            end, position = self._consumer.highwater(partition), state.position
            if end is not None and position is not None:
                yield (partition.topic, str(partition.partition)), float(max(0, end - position))

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
            await self._drain(list(self._states))
        finally:
            tasks = (committing, fetching, stopping, *self._checks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._failure.done():
                self._failure.cancel()
            await self._consumer.stop()

    async def _fetch(self) -> None:
        states = self._states
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000, max_records=1000)
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
                    continue  # taken away since it was fetched; its next owner gets these, be it this one
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
        except Exception as error:  # a record that nobody thought of must not stop those behind it
            log.exception("record.unhandled", topic=record.topic, partition=record.partition, offset=record.offset)
            try:
                self._dead_letter(record, delivery, f"{type(error).__name__}: {error}", traceback.format_exc())
            except Exception:  # not even that: the log above names it
                log.exception("record.lost", topic=record.topic, partition=record.partition, offset=record.offset)
                delivery.finish()

    async def _take_over(self, firsts: dict[TopicPartition, int]) -> None:
        """Look at what the last owner of newly assigned partitions left behind; `firsts` are their next offsets."""
        commits: dict[TopicPartition, OffsetAndMetadata] = {}
        if self._read_commits is not None:
            try:
                commits = await self._read_commits(list(firsts))
            except (KafkaError, BrokerUnavailable) as error:
                log.warning("suspects.unknown", error=str(error))
                return  # the next records bring us here again
        claims: dict[TopicPartition, Commit] = {}
        for partition, first in firsts.items():
            if (state := self._states.get(partition)) is None:
                continue
            commit = commits.get(partition)
            # Not asked for: the answer would wait behind the fetch that waits at the broker.
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
        """Handle the records that may be poison alone, each marked before it is tried, then those behind them as usual."""
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
        # Without this the mark would blame the last of them for what those behind it do.
        await self._commit_as({partition: state.next_commit()})
        if self._states.get(partition) is not state:
            return  # taken away meanwhile
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
        """Wait until some record is finished."""
        self._progressed.clear()
        await self._progressed.wait()

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """Note that nothing is left to do for a record; resume its partition when there is room again."""
        state = self._states.get(partition)
        if state is None:
            return  # taken away; its next owner gets it again
        may_fetch = state.finish(offset)
        self._progressed.set()
        if may_fetch and partition in self._consumer.assignment():
            self._consumer.resume(partition)

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._commit_interval)
            commits = {partition: state.next_commit() for partition, state in self._states.items()}
            await self._commit_as(commits)

    async def _commit_as(self, commits: Mapping[TopicPartition, Commit | None]) -> None:
        given = {partition: commit for partition, commit in commits.items() if commit is not None}
        if not given:
            return
        states = {partition: self._states.get(partition) for partition in given}
        try:
            await self._consumer.commit(given)
            for partition, state in states.items():
                if state is not None:
                    state.committed(given[partition][0])
        except (CommitFailedError, IllegalStateError) as error:
            # The group moved on without us. The next owner repeats these, and repeats are recognised by request id.
            log.info("commit.superseded", error=str(error))
        except KafkaError as error:
            # Not lost: the next commit says the same and more.
            log.warning("commit.failed", error=str(error))

    async def _drain(self, partitions: list[TopicPartition]) -> None:
        """Wait until the partitions have nothing in hand, for `drain_timeout` at most, and commit."""
        give_up = time.monotonic() + self._drain_timeout
        while any(self._states.get(partition) for partition in partitions) and not self._failure.done():
            try:
                await asyncio.wait_for(self._progress(), max(0.0, give_up - time.monotonic()))
            except TimeoutError:
                log.warning("drain.timeout", in_hand=self.in_hand)
                break
        await self._commit_as(
            {partition: self._states[partition].last_commit() for partition in partitions if partition in self._states}
        )

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish and commit what is in hand before the partitions go to somebody else."""
        await self._drain(list(revoked))
        for partition in revoked:
            self._states.pop(partition, None)
            if (check := self._checks.pop(partition, None)) is not None:
                check.cancel()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Begin afresh with the partitions that are ours now."""
        for partition in assigned:
            self._states.setdefault(partition, PartitionState(self._queue_limit))
        self._joined = True
        self._held = tuple(sorted(partition.partition for partition in assigned))
        if self._on_assignment is not None:
            self._on_assignment({partition.partition for partition in assigned})
