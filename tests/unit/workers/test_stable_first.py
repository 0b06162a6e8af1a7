"""A worker offers no candidate before stable, its fallback, is loaded."""

import asyncio
from types import SimpleNamespace

import pytest
from modelmesh.schemas.errors import ModelFailed
from modelmesh.workers.model_pool import ModelPool


def version(number):
    return SimpleNamespace(version=number, identity=f"identity-{number}", served_as="sklearn")


RELEASE = SimpleNamespace(
    versions={"2.0.0": version("2.0.0"), "1.0.0": version("1.0.0")}, stable=SimpleNamespace(version="1.0.0")
)


def worker(loads):
    """A pool whose versions load when their event is set, or fail if they are in `broken`."""
    pool = ModelPool.__new__(ModelPool)

    async def loaded(spec):
        await loads[spec.version].wait()
        if spec.version in pool.broken:
            raise ModelFailed("it does not load")

    vars(pool).update(
        _model="m", _requests=SimpleNamespace(release=None), _servers={}, _loading={}, _failed={}, _parked={},
        _unloading=None, _metrics=SimpleNamespace(breaker=lambda *_: None), _on_change=lambda: None, broken=set(),
        _loaded=loaded, _server=lambda spec, _: spec.version, _in_release=lambda _: True,
        _settings=SimpleNamespace(unload_grace=0.0),
    )  # fmt: skip
    return pool


@pytest.mark.parametrize("stable_fails", [False, True])
async def test_a_candidate_that_loads_faster_is_offered_only_after_stable(stable_fails):
    loads = {"1.0.0": asyncio.Event(), "2.0.0": asyncio.Event()}
    pool = worker(loads)
    pool.broken = {"1.0.0"} if stable_fails else set()
    loads["2.0.0"].set()
    pool.update(RELEASE)
    tasks = list(pool._loading.values())
    for _ in range(20):
        await asyncio.sleep(0)
    assert pool._servers == {}
    pool.update(RELEASE)  # a release may change meanwhile
    loads["1.0.0"].set()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert list(pool._servers.values()) == (["2.0.0"] if stable_fails else ["1.0.0", "2.0.0"])


async def test_a_new_release_does_not_interrupt_what_loads():
    loads = {"1.0.0": asyncio.Event(), "2.0.0": asyncio.Event()}
    pool = worker(loads)
    pool.update(SimpleNamespace(versions={"1.0.0": version("1.0.0")}, stable=RELEASE.stable))
    for _ in range(20):  # until it waits for the load, before it unloads others
        await asyncio.sleep(0)
    pool.update(RELEASE)
    tasks = list(pool._loading.values())
    for load in loads.values():
        load.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert list(pool._servers.values()) == ["1.0.0", "2.0.0"]
