"""Each request of the real pipeline is in the inference log, also when the recorder is killed."""

from uuid import uuid4

import pytest

from ..conftest import kill
from ..waiting import logged

pytestmark = pytest.mark.both_databases


async def test_each_request_is_in_the_inference_log_once_with_its_outcome(http, sdk, kafka_client, forest, cancer):
    rows, _, model = cancer
    ids = [f"logged-{uuid4().hex}" for _ in range(20)]
    for number, request_id in enumerate(ids):
        await kafka_client.predict(forest, rows[number].tolist(), request_id=request_id)
    for number, request_id in enumerate(ids):
        row = await logged(sdk, request_id)
        assert (row["model"], row["status"]) == (forest, 200)
        assert row["request"] == {"inputs": rows[number].tolist()}
        assert row["reply"]["outputs"]["label"] == model.predict(rows[number : number + 1]).tolist()
        assert row["latency_ms"] >= 0
    async with http.get("/inference-log", params={"model": forest, "status": "200", "per_page": "5"}) as answer:
        page = await answer.json()
    assert len(page["requests"]) == 5
    assert page["total"] >= 20
    async with http.get("/inference-log", params={"status": "fine"}) as answer:
        assert answer.status == 422


async def test_the_inference_log_goes_on_where_it_was_when_its_writer_is_killed(
    mesh, http, sdk, kafka_client, forest, cancer
):
    rows, _, _ = cancer
    ids = [f"killed-{uuid4().hex}" for _ in range(60)]
    for number, request_id in enumerate(ids):
        if number == 30:
            await kill(mesh, "recorder").wait()
        await kafka_client.predict(forest, rows[0].tolist(), request_id=request_id)
    for request_id in ids:
        assert (await logged(sdk, request_id))["status"] == 200
