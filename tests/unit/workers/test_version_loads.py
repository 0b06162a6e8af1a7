"""A worker's loads of versions: stable, the fallback, first; what failed is tried again."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.schemas.errors import ModelFailed
from modelmesh.workers import version_loads
from modelmesh.workers.version_loads import LAST_RETRY, VersionLoads, retry_delay

STABLE, CANDIDATE = "identity-1.0.0", "identity-2.0.0"


def release(*numbers):
    """A release of these versions; the last is stable, so that the order in the release is not the order of loading."""
    versions = {number: SimpleNamespace(version=number, identity=f"identity-{number}") for number in numbers}
    identities = {number: spec.identity for number, spec in versions.items()}
    return SimpleNamespace(versions=versions, identities=identities, stable=SimpleNamespace(version=numbers[-1]))


BOTH = release("2.0.0", "1.0.0")


class Worker:
    """Loads a version when its event is set; fails while its identity is in `broken`."""

    def __init__(self):
        self.may_load = {identity: asyncio.Event() for identity in (STABLE, CANDIDATE)}
        self.broken = {}
        self.loaded = []
        self.ended = []
        self.tries = 0
        self.loads = VersionLoads("m", self.load, self.ended.append)

    async def load(self, spec):
        await self.may_load[spec.identity].wait()
        self.tries += 1
        if spec.identity in self.broken:
            raise self.broken[spec.identity]
        self.loaded.append(spec.identity)

    def let_all_load(self):
        for event in self.may_load.values():
            event.set()


@pytest.fixture
async def worker():
    worker = Worker()
    yield worker
    worker.loads.close()


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the retry's timer has no event to wait for
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("stable_fails", [False, True])
async def test_a_candidate_that_loads_faster_is_offered_only_after_stable(worker, stable_fails):
    if stable_fails:
        worker.broken[STABLE] = ModelFailed("it does not load")
    worker.may_load[CANDIDATE].set()
    worker.loads.start(BOTH, ())
    await turns()
    assert worker.loaded == []
    worker.loads.start(BOTH, ())  # a release may change meanwhile
    worker.may_load[STABLE].set()
    await worker.loads.settled()
    assert worker.loaded == ([CANDIDATE] if stable_fails else [STABLE, CANDIDATE])
    assert worker.ended == [STABLE, CANDIDATE]


async def test_who_stops_waiting_does_not_interrupt_what_loads(worker):
    worker.loads.start(release("1.0.0"), ())
    waiting = asyncio.create_task(worker.loads.settled())
    await turns()
    waiting.cancel()
    worker.loads.start(BOTH, ())
    worker.let_all_load()
    await worker.loads.settled()
    assert worker.loaded == [STABLE, CANDIDATE]


@pytest.mark.parametrize("error", [ModelFailed("the store does not answer"), OSError("no space left on device")])
async def test_what_failed_is_loaded_again(worker, error, monkeypatch):
    monkeypatch.setattr(version_loads, "FIRST_RETRY", 0.0)
    worker.let_all_load()
    worker.broken[STABLE] = error
    worker.loads.start(release("1.0.0"), ())
    await until(lambda: worker.tries > 2)
    assert str(error) in worker.loads.failed["1.0.0"]
    del worker.broken[STABLE]
    await until(lambda: worker.loaded)
    await worker.loads.settled()
    assert worker.loads.failed == {}
    assert worker.loaded == [STABLE]
    assert worker.ended[-1] == STABLE


async def test_requests_wait_for_a_first_load_only(worker, monkeypatch):
    monkeypatch.setattr(version_loads, "FIRST_RETRY", 0.0)
    worker.broken[STABLE] = ModelFailed("no")
    worker.loads.start(release("1.0.0"), ())
    assert worker.loads.is_first(STABLE)
    worker.may_load[STABLE].set()
    await worker.loads.settled()
    worker.may_load[STABLE].clear()
    await until(lambda: STABLE in worker.loads._tasks)  # the second try
    assert not worker.loads.is_first(STABLE)
    assert worker.loads.failed["1.0.0"] == "no"


async def test_a_version_that_has_left_the_release_is_not_tried_again(worker):
    worker.let_all_load()
    worker.broken = {STABLE: ModelFailed("no"), CANDIDATE: ModelFailed("no")}
    worker.loads.start(BOTH, ())
    await worker.loads.settled()
    assert worker.loads._retries.keys() == {STABLE, CANDIDATE}
    worker.loads.start(release("1.0.0"), ())
    await worker.loads.settled()
    assert worker.loads._retries.keys() == worker.loads._failures.keys() == {STABLE}
    assert worker.loads.failed.keys() == {"1.0.0"}


async def test_a_number_that_was_given_again_starts_without_failures(worker):
    worker.let_all_load()
    worker.broken = {STABLE: ModelFailed("no")}
    worker.loads.start(release("1.0.0"), ())
    await worker.loads.settled()
    again = release("1.0.0")
    again.versions["1.0.0"].identity = again.identities["1.0.0"] = CANDIDATE  # other bytes
    worker.loads.start(again, ())
    assert worker.loads.failed == {}
    assert worker.loads.is_first(CANDIDATE)


async def test_a_new_release_begins_anew(worker):
    worker.let_all_load()
    worker.broken = {STABLE: ModelFailed("no")}
    worker.loads.start(release("1.0.0"), ())
    await worker.loads.settled()
    worker.loads.start(BOTH, ())
    assert worker.loads.is_first(STABLE)
    assert worker.loads.failed == {}


async def test_what_is_loaded_is_not_loaded_again(worker):
    worker.let_all_load()
    worker.loads.start(BOTH, {STABLE})
    await worker.loads.settled()
    assert worker.loaded == [CANDIDATE]


@given(failures=st.integers(1, 10**6), uniform=st.floats(0, 1, exclude_max=True))
def test_the_delay_is_bounded_and_grows(failures, uniform):
    assert 0 < retry_delay(failures, uniform) <= LAST_RETRY * 1.25
    assert retry_delay(failures, uniform) <= retry_delay(failures + 1, uniform)
