"""A change that is asked for again under its key is answered as the first time, and made once."""

import asyncio

import pytest
from modelmesh.gateway.idempotency import HEADER

from benchmarks.models.chaos_models import SAMPLE, chaos_model

pytestmark = pytest.mark.both_databases


async def post(http, path, body, key):
    async with http.post(path, json=body, headers={HEADER: key}) as answer:
        return answer.status, await answer.json(), "Idempotency-Replayed" in answer.headers


async def test_a_registration_that_is_sent_again_is_one_version(sdk, http, tmp_path):
    path = chaos_model(tmp_path / "once.onnx")
    first = await sdk.register_model("once", path, sample=SAMPLE, idempotency_key="once-1")
    again = await sdk.register_model("once", path, sample=SAMPLE, idempotency_key="once-1")
    assert again == first
    assert [version["version"] for version in await sdk.versions("once")] == ["1.0.0"]
    await sdk.register_model("once", path, sample=SAMPLE, idempotency_key="once-2")
    assert len(await sdk.versions("once")) == 2


async def test_the_same_change_is_made_once_and_another_needs_a_key_of_its_own(sdk, http, register):
    model = await register("keyed", {})
    wish = {"model": model, "version": "2.0.0"}
    status, first, replayed = await post(http, "/deployments", wish, "deploy-1")
    assert (status, replayed) == (201, False)
    # By the other name of the path too.
    assert await post(http, "/v1/deployments", wish, "deploy-1") == (201, first, True)
    generations = {release["generation"] for release in await sdk.deployments() if release["model"] == model}
    assert generations == {first["event"]["generation"]}
    status, problem, _ = await post(http, "/deployments", {**wish, "version": "1.0.0"}, "deploy-1")
    assert (status, problem["field"]) == (422, HEADER)
    assert (await post(http, "/deployments", wish, "not a key"))[0] == 422


async def test_of_several_at_once_one_is_made(sdk, http, register):
    for number in range(10):
        model = await register(f"raced-{number}", {})
        change = {"model": model, "version": "2.0.0"}
        answers = await asyncio.gather(*(post(http, "/deployments", change, f"race-{number}") for _ in range(8)))
        statuses = {status for status, _, _ in answers}
        if 503 not in statuses:  # the control plane of a busy machine may answer too late; then nothing is known of it
            break
    assert statuses <= {201, 409}
    made = [document for status, document, replayed in answers if status == 201 and not replayed]
    assert len(made) == 1
    kinds = [event["kind"] for event in await sdk.history(model) if event["kind"] == "release.deployed"]
    assert len(kinds) <= 2  # the first version, and this one


async def test_a_refused_change_leaves_its_key_free(http, register):
    model = await register("refused", {})
    wish = {"model": model, "version": "9.0.0"}
    assert (await post(http, "/deployments", wish, "refused-1"))[0] == 404
    assert (await post(http, "/deployments", {**wish, "version": "2.0.0"}, "refused-1"))[0] == 201
