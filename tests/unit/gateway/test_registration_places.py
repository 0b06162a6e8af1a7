"""One key's slow proofs keep another key waiting for one of them at most, and everything is given back."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.access.caller import ANONYMOUS, Caller
from modelmesh.gateway.api.registration_places import RegistrationPlaces
from modelmesh.schemas.errors import Overloaded, RateLimited


def who(key):
    return Caller(name="same name", key=key, known=True)


async def registering(places, caller, proving, done):
    async with places.place(caller) as turn, turn():
        proving.append(caller.key)
        await done.wait()


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_key_has_so_many_and_another_key_is_next():
    places, proving, done = RegistrationPlaces(3, 2, 60.0), [], asyncio.Event()
    tasks = [asyncio.create_task(registering(places, who("a"), proving, done)) for _ in range(3)]
    await settled()
    assert proving == ["a"], "the others of the key wait, though there is room"
    with pytest.raises(RateLimited, match="3 registrations"):
        await registering(places, who("a"), proving, done)
    tasks.append(asyncio.create_task(registering(places, who("b"), proving, done)))
    await settled()
    assert proving == ["a", "b"]
    done.set()
    await asyncio.gather(*tasks)
    assert sorted(proving) == ["a", "a", "a", "b"]
    assert not places._keys


async def test_who_waits_too_long_is_told_and_holds_nothing():
    places, proving, done = RegistrationPlaces(3, 1, 0.01), [], asyncio.Event()
    first = asyncio.create_task(registering(places, who("a"), proving, done))
    await settled()
    for key in ("a", "b"):
        with pytest.raises(Overloaded, match="nothing was registered"):
            await registering(places, who(key), proving, done)
    done.set()
    await first
    await registering(places, who("b"), proving, done)
    assert not places._keys


async def test_without_keys_only_the_limit_for_all_holds():
    places, proving, done = RegistrationPlaces(1, 2, 60.0), [], asyncio.Event()
    tasks = [asyncio.create_task(registering(places, ANONYMOUS, proving, done)) for _ in range(4)]
    await settled()
    assert len(proving) == 2
    done.set()
    await asyncio.gather(*tasks)
    assert len(proving) == 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_after_any_sequence_nothing_is_held(sequence):
    async def run():
        places, proving, done = RegistrationPlaces(2, 2, 60.0), [], asyncio.Event()
        tasks = []
        for key, leaves in sequence:
            task = asyncio.create_task(registering(places, who(key), proving, done))
            await settled()
            if leaves:
                task.cancel()
            tasks.append(task)
        done.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not places._keys
        assert places._proofs._value == 2

    asyncio.run(run())
