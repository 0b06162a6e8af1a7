"""Answers given again: only the right ones, only while they may be, and never an error because of the cache."""

import asyncio

import numpy as np
import pytest
import redis
from modelmesh.schemas.errors import RegistrationRefused
from onnx import TensorProto, helper, save

from benchmarks.models.chaos_models import SAMPLE, chaos_model

from ..scrape import total
from ..waiting import until

pytestmark = pytest.mark.both_databases


async def ask(http, model, inputs, **headers):
    async with http.post(f"/predict/{model}", json={"inputs": inputs}, headers=headers) as answer:
        document = await answer.json()
        assert answer.status == 200, document
        return document["outputs"]["value"], answer.headers.get("X-Cache") == "hit", answer.headers["X-Model-Version"]


async def until_hit(http, model, inputs, **headers):
    """Ask until the router that gets the request has the answer; every answer on the way must be the same."""
    first = (await ask(http, model, inputs, **headers))[0]

    async def hit():
        value, cached, _ = await ask(http, model, inputs, **headers)
        assert value == first
        return cached

    await until(hit, f"{model} answers {inputs} from the cache")
    return first


@pytest.fixture
async def cached(sdk, tmp_path):
    """Register versions whose answers may be kept; the first is live."""

    async def register(name, *scales, **behaviour):
        for number, scale in enumerate(scales, 1):
            path = chaos_model(tmp_path / f"{name}-{number}.onnx", scale=scale, **behaviour)
            await sdk.register_model(name, path, sample=SAMPLE, version=f"{number}.0.0", cache_ttl_seconds=600)
        return name

    return register


async def test_the_same_inputs_are_answered_again_and_others_are_not(http, cached):
    model = await cached("cached-same", 2.0)
    assert await until_hit(http, model, [0, 21]) == [42.0]
    assert (await ask(http, model, [0, 22])) == ([44.0], False, "1.0.0")


async def test_a_model_that_does_not_ask_for_it_is_never_cached(http, register):
    model = await register("cached-never")
    for _ in range(20):
        assert await ask(http, model, [0, 21]) == ([42.0], False, "1.0.0")


async def test_equal_requests_in_flight_share_one_answer(mesh, http, cached):
    # Slow enough that the others come while the first is still asked, on a slow machine too.
    model = await cached("cached-flight", 2.0, iterations=10_000)
    before = await total(mesh, "router", "cache_events_total", model=model, event="miss")
    answers = await asyncio.gather(*(ask(http, model, [0, 5]) for _ in range(64)))
    assert {tuple(value) for value, _, _ in answers} == {(10.0,)}
    missed = await total(mesh, "router", "cache_events_total", model=model, event="miss") - before
    joined = await total(mesh, "router", "cache_events_total", model=model, event="joined")
    # Some are sent again while the first waits, and may ask the other router.
    assert missed <= len(answers) / 2
    assert joined > 0


async def test_a_new_version_and_a_rollback_answer_for_themselves(mesh, http, sdk, cached, request):
    model = await cached("cached-release", 2.0, 3.0)
    assert await until_hit(http, model, [0, 10]) == [20.0]
    await sdk.deploy(model, "2.0.0")

    async def second():
        return (await ask(http, model, [0, 10]))[2] == "2.0.0"

    await until(second, "the second version answers")
    assert await until_hit(http, model, [0, 10]) == [30.0]
    await sdk.deploy(model, "1.0.0")

    async def first():
        return (await ask(http, model, [0, 10]))[0] == [20.0]

    await until(first, "the first version answers again")
    if mesh.settings.redis:
        with redis.Redis.from_url(mesh.settings.redis) as client:

            async def emptied():
                return not list(client.scan_iter(f"*:answer:{model}:2.0.0:*"))

            await until(emptied, "the answers of the version that left are forgotten")


async def test_bad_inputs_are_refused_as_ever(http, cached):
    model = await cached("cached-bad", 2.0)
    for _ in range(3):
        async with http.post(f"/predict/{model}", json={"inputs": [1, 2, 3]}) as answer:
            assert answer.status == 422
        async with http.post(f"/predict/{model}", data=b"{") as answer:
            assert answer.status == 400


async def test_a_failed_answer_is_not_kept(http, cached):
    model = await cached("cached-failed", 2.0, fails=True)
    for _ in range(3):
        async with http.post(f"/predict/{model}", json={"inputs": [1, 2]}) as answer:
            assert (answer.status, answer.headers.get("X-Cache")) == (422, None)


async def test_a_model_that_rolls_dice_may_not_be_cached(sdk, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph([helper.make_node("RandomUniformLike", ["x"], ["y"])], "dice", [x], [y])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "dice.onnx")
    rows = np.zeros((4, 2)).tolist()
    with pytest.raises(RegistrationRefused, match="cache_ttl_seconds"):
        await sdk.register_model("dice", tmp_path / "dice.onnx", sample=rows, cache_ttl_seconds=60)
    await sdk.register_model("dice", tmp_path / "dice.onnx", sample=rows)


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_predictions_go_on_without_redis(mesh, http, cached, redis_server, how):
    if not mesh.settings.redis:
        pytest.skip("this mesh keeps answers in the process: run with --database postgresql")
    model = await cached(f"cached-{how}", 2.0)
    await until_hit(http, model, [0, 7])
    getattr(redis_server, how)()
    try:
        for number in range(100):
            assert (await ask(http, model, [0, number % 10]))[0] == [2.0 * (number % 10)]
    finally:
        redis_server.start() if how == "kill" else redis_server.thaw()
    await until_hit(http, model, [0, 7])
