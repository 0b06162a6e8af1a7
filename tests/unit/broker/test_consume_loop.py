"""The consume loop with a scripted consumer: it fetches, pauses and commits by the partitions' states."""

import asyncio
from contextlib import asynccontextmanager

from aiokafka import ConsumerRecord, OffsetAndMetadata, TopicPartition
from modelmesh.broker.kafka.consume_loop import COMMIT_RECORDS, EARLIEST_COMMIT, ConsumeLoop
from modelmesh.broker.kafka.partition_state import CLEAN, IN_USE, TRYING

P = TopicPartition("t", 0)


class Consumer:
    """Returns the batches that are put into it, and collects commits."""

    def __init__(self, end):
        self.batches, self.commits, self.end, self.paused = asyncio.Queue(), [], end, False
        self.owned = {P}

    async def start(self):
        pass

    async def stop(self):
        pass

    def subscribe(self, topics, listener):
        self.listener = listener

    def assignment(self):
        return self.owned

    def highwater(self, partition):
        return self.end

    def pause(self, partition):
        self.paused = True

    def resume(self, partition):
        self.paused = False

    async def getmany(self, **options):
        return {P: [record(offset) for offset in await self.batches.get()]}

    async def commit(self, offsets):
        self.commits.append(offsets[P])


def record(offset):
    return ConsumerRecord("t", 0, offset, 0, 0, b"k", b"v", None, 0, 0, ())


async def until(condition):
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(consumer, **options):
    """Run a loop; yield it with the deliveries of handled records and of dead letters, by offset."""
    handled, letters = {}, {}
    loop = ConsumeLoop(
        consumer,
        ["t"],
        lambda record, delivery: handled.update({record.offset: delivery}),
        dead_letter=lambda record, delivery, reason, stack: letters.update({record.offset: delivery}),
        drain_timeout=0.01,
        **{"commit_interval": 0.001, **options},
    )
    task = asyncio.create_task(loop.run())
    await until(lambda: hasattr(consumer, "listener"))
    await loop.on_partitions_assigned({P})
    try:
        yield loop, handled, letters
    finally:
        loop.stop()
        await task


async def test_it_pauses_at_the_limit_commits_finished_records_and_ends_clean():
    consumer = Consumer(4)
    async with running(consumer, queue_limit=4) as (loop, handled, _):
        consumer.batches.put_nowait([0, 1, 2, 3])
        await until(lambda: consumer.paused)
        handled[1].finish()
        assert consumer.paused
        handled[0].finish()
        assert not consumer.paused
        await until(lambda: (2, IN_USE) in consumer.commits)
        handled[3].finish()
        handled[2].finish()
        assert loop.in_hand == 0
    assert consumer.commits[0] == (0, IN_USE)
    assert consumer.commits[-1] == (4, CLEAN)


async def test_nothing_is_committed_for_a_revoked_partition():
    consumer = Consumer(2)
    async with running(consumer) as (loop, handled, _):
        consumer.batches.put_nowait([0, 1])
        await until(lambda: len(handled) == 2)
        await loop.on_partitions_revoked({P})  # after the drain timeout, with both in hand
        before = list(consumer.commits)
        handled[0].finish()
        handled[1].finish()
        assert loop.in_hand == 0
    assert consumer.commits == before == [(0, IN_USE)]


async def test_after_a_crash_records_are_tried_alone_and_no_commit_passes_an_open_dead_letter():
    consumer = Consumer(3)

    async def commits(partitions):
        return {P: OffsetAndMetadata(0, TRYING)}

    async with running(consumer, read_commits=commits) as (_, handled, letters):
        consumer.batches.put_nowait([0, 1, 2, 3])
        await until(lambda: letters)
        for _ in range(20):  # turns of the loop in which it could continue
            await asyncio.sleep(0)
        assert (handled, consumer.commits) == ({}, [])
        letters[0].finish()
        await until(lambda: 1 in handled)
        assert consumer.commits[-1] == (1, TRYING)
        handled[1].finish()
        await until(lambda: 2 in handled)
        assert 3 not in handled
        handled[2].finish()
        await until(lambda: 3 in handled)  # written after the crash: handled as usual
        assert consumer.commits[-1] == (3, IN_USE)
        handled[3].finish()
    assert consumer.commits[-1] == (4, CLEAN)


async def test_many_finished_records_are_committed_before_the_interval_is_over():
    consumer = Consumer(200)
    async with running(consumer, commit_interval=1000.0) as (_, handled, _letters):
        consumer.batches.put_nowait(list(range(200)))
        await until(lambda: len(handled) == 200)
        for offset in range(COMMIT_RECORDS - 1):
            handled[offset].finish()
        await asyncio.sleep(2 * EARLIEST_COMMIT)
        assert consumer.commits == [(0, IN_USE)]
        handled[COMMIT_RECORDS - 1].finish()
        await until(lambda: (COMMIT_RECORDS, IN_USE) in consumer.commits)
