"""Replays one after the other: what each comes to is said, whatever becomes of the database meanwhile."""

import asyncio
from types import SimpleNamespace

import pytest
from modelmesh.gateway.replays.queue import MAX_WAITING, ReplayQueue
from modelmesh.schemas.errors import Overloaded, ReplayFailed
from structlog.testing import capture_logs


class Store:
    """Remembers what it was told; `away` times it cannot be reached first."""

    def __init__(self, away=0):
        self.away, self.said, self.touched = away, [], []
        self.spoken = asyncio.Condition()

    async def add(self, model, asked, actor):
        return SimpleNamespace(id=f"{model}.{len(self.said)}.{asked}", asked=asked)

    async def say(self, replay_id, state, **columns):
        if self.away:
            self.away -= 1
            raise OSError("the database is away")
        async with self.spoken:
            self.said.append((replay_id, state, columns))
            self.spoken.notify_all()

    async def until_said(self, *states):
        """Return once these are the last states that were said."""
        async with asyncio.timeout(10), self.spoken:
            await self.spoken.wait_for(lambda: [state for _, state, _ in self.said][-len(states) :] == list(states))

    async def touch(self, ids):
        self.touched.append(list(ids))


def run_of(*steps, fails=None, forever=False):
    async def run(asked):
        for step in steps:
            yield step
        if forever:
            await asyncio.Event().wait()
        if fails is not None:
            raise fails

    return run


async def test_progress_is_said_and_then_the_report():
    store = Store()
    queue = ReplayQueue(store, run_of({"share": 0.5}, {"report": {"requests": 1}}))
    running = asyncio.create_task(queue.run())
    first, second = await queue.add("m", 1, "ada"), await queue.add("m", 2, "ada")
    await store.until_said("running", "done", "running", "done")
    running.cancel()
    whole = {"report": {"requests": 1}}
    assert store.said == [
        (first.id, "running", {"progress": {"share": 0.5}}),
        (first.id, "done", {"report": whole}),
        (second.id, "running", {"progress": {"share": 0.5}}),
        (second.id, "done", {"report": whole}),
    ]
    assert store.touched == [[second.id]]


async def test_a_failure_is_said_once_the_database_is_back_and_the_next_one_runs():
    store = Store(away=2)
    queue = ReplayQueue(store, run_of(fails=ReplayFailed("no request lies there")))
    running = asyncio.create_task(queue.run())
    row = await queue.add("m", 1, "ada")
    await store.until_said("failed")
    running.cancel()
    assert store.said == [(row.id, "failed", {"error": "no request lies there"})]


async def test_an_error_that_nobody_thought_of_fails_one_replay_and_no_more():
    store = Store()
    queue = ReplayQueue(store, run_of(fails=RuntimeError("surprise")))
    # Captured: a traceback that is drawn for a terminal can take seconds.
    with capture_logs() as logged:
        running = asyncio.create_task(queue.run())
        for number in range(2):
            await queue.add("m", number, "ada")
        await store.until_said("failed", "failed")
        running.cancel()
    assert "surprise" in store.said[0][2]["error"]
    assert [line["event"] for line in logged].count("replay.failed") == 2


async def test_what_is_not_done_when_it_stops_was_interrupted():
    store = Store()
    queue = ReplayQueue(store, run_of({"share": 0.1}, forever=True))
    running = asyncio.create_task(queue.run())
    rows = [await queue.add("m", number, "ada") for number in range(2)]
    await store.until_said("running")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [(replay_id, state) for replay_id, state, _ in store.said[1:]] == [(row.id, "interrupted") for row in rows]


async def test_there_is_an_end_to_the_queue():
    queue = ReplayQueue(Store(), run_of())
    for number in range(MAX_WAITING):
        await queue.add("m", number, "ada")
    with pytest.raises(Overloaded, match="16 replays wait"):
        await queue.add("m", 99, "ada")
