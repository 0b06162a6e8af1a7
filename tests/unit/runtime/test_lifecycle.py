"""Parts start in order and stop in reverse order; a failed part is named and stops all of them."""

import asyncio
import contextlib

import pytest
from modelmesh.runtime.lifecycle import Lifecycle
from modelmesh.schemas.errors import PartFailed, SetupError


async def forever():
    await asyncio.Event().wait()


async def fails_after(moments):
    for _ in range(moments):
        await asyncio.sleep(0)
    raise OSError("the disk is full\nand so on")


async def ends():
    await asyncio.sleep(0)


async def is_cancelled():
    await asyncio.sleep(0)
    raise asyncio.CancelledError


class Life:
    """A process of three parts and those that `then` adds; `seen` lists what happened to the three."""

    def __init__(self, then, **options):
        self.seen, self.stop, self.then, self.options = [], asyncio.Event(), then, options

    async def happens(self, what):
        self.seen.append(what)

    async def run_b(self):
        self.seen.append("run b")
        try:
            await forever()
        finally:
            self.seen.append("end b")

    async def live(self):
        async with Lifecycle(self.stop, **self.options) as self.parts:
            await self.parts.start("a", self.happens("start a"), lambda: self.happens("stop a"))
            self.parts.run("b", self.run_b())
            await self.parts.wait(asyncio.sleep(0))
            await self.parts.start("c", self.happens("start c"), lambda: self.happens("stop c"))
            await self.then(self)

    async def request_stop(self):
        self.stop.set()
        await self.parts.until_stopped()


ALL = ["start a", "run b", "start c", "stop c", "end b", "stop a"]


async def test_parts_stop_in_reverse_order():
    async def then(life):
        asyncio.get_running_loop().call_soon(life.stop.set)
        await life.parts.until_stopped()

    life = Life(then)
    await life.live()
    assert life.seen == ALL
    assert not life.parts.stuck


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: fails_after(0), "d failed while it ran: OSError: the disk is full and so on"),
        (lambda: fails_after(5), "d failed while it ran: OSError: the disk is full and so on"),
        (ends, "d failed while it ran: RuntimeError: it ended by itself"),
        (is_cancelled, "d failed while it ran: RuntimeError: it was cancelled"),
    ],
)
@pytest.mark.parametrize("waits_for", ["its end", "a start"])
async def test_a_part_that_fails_while_it_runs_ends_all(work, message, waits_for):
    async def then(life):
        life.parts.run("d", work())
        await (life.parts.until_stopped() if waits_for == "its end" else life.parts.wait(forever()))

    async def lived():
        life = Life(then)
        with pytest.raises(PartFailed) as failed:
            await life.live()
        assert failed.value.detail == message
        assert life.seen == ALL
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    # In a loop of its own: the tests' loop has other tasks.
    await asyncio.to_thread(asyncio.run, lived())


async def test_a_part_that_fails_at_its_start_is_stopped_and_later_parts_do_not_start():
    async def then(life):
        await life.parts.start("d", fails_after(1), lambda: life.happens("stop d"))
        life.seen.append("this is not reached")

    life = Life(then)
    with pytest.raises(PartFailed, match="d failed at its start: OSError"):
        await life.live()
    assert life.seen == [*ALL[:3], "stop d", *ALL[3:]]


async def test_a_modelmesh_error_is_raised_unchanged():
    async def no_port():
        raise SetupError("port 80 cannot be opened")

    with pytest.raises(SetupError, match="port 80 cannot be opened"):
        await Life(lambda life: life.parts.start("site", no_port(), ends)).live()


async def test_a_stop_during_the_start_is_no_error():
    async def then(life):
        asyncio.get_running_loop().call_soon(life.stop.set)
        await life.parts.wait(forever())
        life.seen.append("this is not reached")

    life = Life(then)
    await life.live()
    assert life.seen == ALL


async def test_an_error_at_the_end_is_raised_after_the_others_have_stopped():
    async def then(life):
        life.parts.at_end("d", lambda: fails_after(1))
        await life.request_stop()

    life = Life(then)
    with pytest.raises(PartFailed, match="d failed at its end: OSError"):
        await life.live()
    assert life.seen == ALL


@pytest.mark.parametrize("way", ["ignores its cancellation", "takes too long"])
async def test_a_part_that_does_not_stop_in_time_is_abandoned_and_named(way, monkeypatch):
    monkeypatch.setattr("modelmesh.runtime.lifecycle.CANCEL_SECONDS", 0.05)
    released = asyncio.Event()

    async def stubborn():
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    async def then(life):
        if way == "ignores its cancellation":
            life.parts.run("d", stubborn(), stop_seconds=0.05)
            await life.parts.wait(asyncio.sleep(0))
        else:
            life.parts.at_end("d", forever, stop_seconds=0.05)
        await life.request_stop()

    life = Life(then)
    with pytest.raises(PartFailed, match=r"d failed at its end: TimeoutError: it did not stop within 0\.05 s"):
        await life.live()
    released.set()
    assert life.parts.stuck == ["d"]
    assert life.seen == ALL


async def test_a_part_with_a_stop_callback_is_awaited():
    stop_requested = asyncio.Event()

    async def then(life):
        async def drain():
            await stop_requested.wait()
            await asyncio.sleep(0)
            life.seen.append("drained")

        life.parts.run("loop", drain(), stop=stop_requested.set)
        await life.request_stop()

    life = Life(then)
    await life.live()
    assert life.seen == [*ALL[:3], "drained", *ALL[3:]]


async def test_ending_a_part_early_is_no_failure():
    async def then(life):
        life.parts.run("model", forever())
        await life.parts.wait(asyncio.sleep(0))
        assert await life.parts.end("model") is None
        await life.parts.wait(asyncio.sleep(0))
        await life.request_stop()

    await Life(then).live()


async def test_all_parts_together_have_a_time_limit():
    async def then(life):
        for name in "de":
            life.parts.at_end(name, forever)
        await life.request_stop()

    life = Life(then, stop_seconds=3600.0, all_seconds=0.05)
    with pytest.raises(PartFailed, match="e failed at its end: TimeoutError"):
        await life.live()
    assert life.parts.stuck == ["e", "d"]
    assert life.seen == ALL
