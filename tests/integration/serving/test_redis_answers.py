"""The cache in a real Redis: shared, and never in the way when Redis is slow or dead."""

import asyncio

import pytest
from modelmesh.router.answer_store import AnswerKey
from modelmesh.router.redis_answers import RedisAnswers, open_redis
from modelmesh.schemas.errors import SetupError

from ..waiting import until

KEY = AnswerKey("fraud", "1.0.0", "ab12", "77")


@pytest.fixture
async def stores(redis_server):
    """Two stores, as two routers have them, and how many lookups each could not do."""
    failures = [0, 0]

    def failed(number):
        failures[number] += 1

    made = [
        RedisAnswers(open_redis(redis_server.url), "test", 0.05, lambda number=number: failed(number))
        for number in range(2)
    ]
    tasks = [asyncio.create_task(store.run()) for store in made]
    yield made, failures
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def look_up(store, key=KEY):
    found = asyncio.get_running_loop().create_future()
    store.get(key, found.set_result)
    return await asyncio.wait_for(found, 5)


async def test_what_one_router_keeps_another_finds_until_it_is_dropped(stores):
    (one, other), _ = stores
    assert await look_up(other) is None
    one.put(KEY, b"yes", 60)

    async def found():
        return await look_up(other) == b"yes"

    await until(found, "the other router finds the answer")
    kept = KEY._replace(version="2.0.0")
    one.put(kept, b"no", 60)
    one.drop("fraud", "1.0.0")

    async def forgotten():
        return await look_up(other) is None and await look_up(other, kept) == b"no"

    await until(forgotten, "the version is forgotten, and it alone")


async def test_an_answer_has_its_time(stores):
    (one, other), _ = stores
    key = KEY._replace(inputs="short")
    one.put(key, b"yes", 0.3)

    async def found():
        return await look_up(other, key) == b"yes"

    async def gone():
        return await look_up(other, key) is None

    await until(found, "the answer is there")
    await until(gone, "its time is over")


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_without_redis_each_lookup_ends_empty_and_soon_none_waits(stores, redis_server, how):
    (one, _), failures = stores
    getattr(redis_server, how)()
    try:
        for _ in range(50):
            assert await look_up(one, KEY._replace(inputs="never kept")) is None
        assert failures[0] >= 40
        # The breaker is open by now: the answer comes before the loop turns.
        at_once = []
        one.get(KEY, at_once.append)
        assert at_once == [None]
    finally:
        redis_server.start() if how == "kill" else redis_server.thaw()

    async def works_again():
        one.put(KEY, b"again", 60)
        return await look_up(one) == b"again"

    await until(works_again, "Redis is used again")


def test_a_wrong_url_is_said_in_one_line():
    with pytest.raises(SetupError, match="MODELMESH_REDIS"):
        open_redis("localhost:6379")
