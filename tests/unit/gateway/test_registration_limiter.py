"""A key's slow proofs delay another key by at most one of them, and all slots are released."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.access.caller import ANONYMOUS, Caller
from modelmesh.gateway.api.registration_limiter import RegistrationLimiter
from modelmesh.schemas.errors import Overloaded, RateLimited


def who(key):
    return Caller(name="same name", key=key, known=True)


async def registering(limiter, caller, proving, done):
    async with limiter.slot(caller) as proof_slot, proof_slot():
        proving.append(caller.key)
        await done.wait()


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_key_has_a_limit_and_another_key_is_next():
    limiter, proving, done = RegistrationLimiter(3, 2, 60.0), [], asyncio.Event()
    tasks = [asyncio.create_task(registering(limiter, who("a"), proving, done)) for _ in range(3)]
    await settled()
    assert proving == ["a"], "the key's other registrations wait, although a proof slot is free"
    with pytest.raises(RateLimited, match="3 registrations"):
        await registering(limiter, who("a"), proving, done)
    tasks.append(asyncio.create_task(registering(limiter, who("b"), proving, done)))
    await settled()
    assert proving == ["a", "b"]
    done.set()
    await asyncio.gather(*tasks)
    assert sorted(proving) == ["a", "a", "a", "b"]
    assert not limiter._keys


async def test_waiting_too_long_is_refused_and_holds_no_slot():
    limiter, proving, done = RegistrationLimiter(3, 1, 0.01), [], asyncio.Event()
    first = asyncio.create_task(registering(limiter, who("a"), proving, done))
    await settled()
    for key in ("a", "b"):
        with pytest.raises(Overloaded, match="nothing was registered"):
            await registering(limiter, who(key), proving, done)
    done.set()
    await first
    await registering(limiter, who("b"), proving, done)
    assert not limiter._keys


async def test_without_keys_only_the_total_limit_applies():
    limiter, proving, done = RegistrationLimiter(1, 2, 60.0), [], asyncio.Event()
    tasks = [asyncio.create_task(registering(limiter, ANONYMOUS, proving, done)) for _ in range(4)]
    await settled()
    assert len(proving) == 2
    done.set()
    await asyncio.gather(*tasks)
    assert len(proving) == 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_after_any_sequence_nothing_is_held(sequence):
    async def run():
        limiter, proving, done = RegistrationLimiter(2, 2, 60.0), [], asyncio.Event()
        tasks = []
        for key, leaves in sequence:
            task = asyncio.create_task(registering(limiter, who(key), proving, done))
            await settled()
            if leaves:
                task.cancel()
            tasks.append(task)
        done.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not limiter._keys
        assert limiter._proofs._value == 2

    asyncio.run(run())
