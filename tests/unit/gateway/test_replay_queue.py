"""Replays run one at a time, and the outcome of each is stored even if the database is unavailable for a while."""

import asyncio
from types import SimpleNamespace

import pytest
from modelmesh.gateway.replays.queue import MAX_WAITING, ReplayQueue
from modelmesh.schemas.errors import Overloaded, ReplayFailed
from structlog.testing import capture_logs


class Store:
    """Records the states that were set; the first `away` calls fail."""

    def __init__(self, away=0):
        self.away, self.states, self.touched = away, [], []
        self.changed = asyncio.Condition()

    async def add(self, model, asked, actor):
        return SimpleNamespace(id=f"{model}.{len(self.states)}.{asked}", asked=asked)

    async def set_state(self, replay_id, state, **columns):
        if self.away:
            self.away -= 1
            raise OSError("the database is away")
        async with self.changed:
            self.states.append((replay_id, state, columns))
            self.changed.notify_all()

    async def until_states(self, *states):
        """Return once these are the last states that were set."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: [state for _, state, _ in self.states][-len(states) :] == list(states))

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


async def test_progress_is_stored_and_then_the_report():
    store = Store()
    queue = ReplayQueue(store, run_of({"share": 0.5}, {"report": {"requests": 1}}))
    running = asyncio.create_task(queue.run())
    first, second = await queue.add("m", 1, "ada"), await queue.add("m", 2, "ada")
    await store.until_states("running", "done", "running", "done")
    running.cancel()
    whole = {"report": {"requests": 1}}
    assert store.states == [
        (first.id, "running", {"progress": {"share": 0.5}}),
        (first.id, "done", {"report": whole}),
        (second.id, "running", {"progress": {"share": 0.5}}),
        (second.id, "done", {"report": whole}),
    ]
    assert store.touched == [[second.id]]


async def test_a_failure_is_stored_once_the_database_is_back():
    store = Store(away=2)
    queue = ReplayQueue(store, run_of(fails=ReplayFailed("no request lies there")))
    running = asyncio.create_task(queue.run())
    row = await queue.add("m", 1, "ada")
    await store.until_states("failed")
    running.cancel()
    assert store.states == [(row.id, "failed", {"error": "no request lies there"})]


async def test_an_unexpected_error_fails_one_replay_only():
    store = Store()
    queue = ReplayQueue(store, run_of(fails=RuntimeError("surprise")))
    # Captured: rendering a traceback for a terminal can take seconds.
    with capture_logs() as logged:
        running = asyncio.create_task(queue.run())
        for number in range(2):
            await queue.add("m", number, "ada")
        await store.until_states("failed", "failed")
        running.cancel()
    assert "surprise" in store.states[0][2]["error"]
    assert [line["event"] for line in logged].count("replay.failed") == 2


async def test_unfinished_replays_are_interrupted_when_the_queue_stops():
    store = Store()
    queue = ReplayQueue(store, run_of({"share": 0.1}, forever=True))
    running = asyncio.create_task(queue.run())
    rows = [await queue.add("m", number, "ada") for number in range(2)]
    await store.until_states("running")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [(replay_id, state) for replay_id, state, _ in store.states[1:]] == [(row.id, "interrupted") for row in rows]


async def test_the_queue_is_bounded():
    queue = ReplayQueue(Store(), run_of())
    for number in range(MAX_WAITING):
        await queue.add("m", number, "ada")
    with pytest.raises(Overloaded, match="16 replays are waiting"):
        await queue.add("m", 99, "ada")
