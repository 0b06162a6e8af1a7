"""Predictions over HTTP and over Kafka answer what the local model answers."""

import asyncio
import uuid

import numpy as np
import pytest
from modelmesh.schemas.errors import InvalidInput, ModelNotFound


async def test_every_row_over_http_is_the_local_answer(sdk, forest, cancer):
    rows, _, model = cancer
    answers = await sdk.predict_batch(forest, rows)
    assert [answer.label for answer in answers] == model.predict(rows).tolist()
    np.testing.assert_allclose([a.probabilities for a in answers], model.predict_proba(rows), atol=1e-5)


async def test_every_row_over_kafka_is_the_local_answer(kafka_client, forest, cancer):
    rows, _, model = cancer
    answers = await kafka_client.predict_many(forest, rows.tolist())
    assert [answer["outputs"]["label"][0] for answer in answers] == model.predict(rows).tolist()
    assert kafka_client.in_flight == 0


async def test_rows_in_one_request_are_answered_together(sdk, forest, cancer):
    rows, _, model = cancer
    answer = await sdk.predict(forest, rows[:7])
    assert answer.outputs["label"] == model.predict(rows[:7]).tolist()


async def test_named_mixed_columns_are_served(sdk, kafka_client, payments):
    table, pipeline = payments
    await sdk.register_model("payments", pipeline, sample=table.head(20))
    answers = await sdk.predict_batch("payments", table)
    assert [answer.label for answer in answers] == pipeline.predict(table).tolist()
    one = await kafka_client.predict("payments", {"merchant": "Acme", "amount": 900})
    assert one["outputs"]["label"] == [1]
    with pytest.raises(InvalidInput) as caught:
        await sdk.predict("payments", {"amount": 200})
    assert caught.value.field == "merchant"


async def test_an_answer_says_who_it_is_for_and_from(http, forest, cancer):
    rows, _, _ = cancer
    request_id = uuid.uuid4().hex
    async with http.post(
        f"/predict/{forest}", json={"inputs": rows[0].tolist()}, headers={"X-Request-Id": request_id}
    ) as answer:
        assert answer.status == 200
        assert answer.headers["X-Request-Id"] == request_id
        assert answer.headers["X-Model-Version"] == (await answer.json())["version"]


async def test_requests_at_once_share_batches(http, forest, cancer):
    rows, _, _ = cancer

    async def size():
        async with http.post(f"/predict/{forest}", json={"inputs": rows[0].tolist()}) as answer:
            return int(answer.headers["X-Batch-Size"])

    assert max(await asyncio.gather(*(size() for _ in range(300)))) > 1


async def test_a_bad_row_of_a_batch_costs_only_itself(sdk, forest, cancer):
    rows, _, model = cancer
    answers = await sdk.predict_batch(forest, [rows[0].tolist(), [1, 2], rows[1].tolist()])
    assert isinstance(answers[1], InvalidInput)
    assert [answers[0].label, answers[2].label] == model.predict(rows[:2]).tolist()


async def test_unknown_models_are_unknown_by_every_road(sdk, kafka_client):
    for client in (sdk, kafka_client):
        with pytest.raises(ModelNotFound):
            await client.predict("nobody", [1])
