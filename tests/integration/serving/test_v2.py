"""The Open Inference Protocol over HTTP, raw and with a standard client."""

import asyncio

import numpy as np
import pytest
from modelmesh.schemas.records import V2_JSON, v2_content_type, v2_header_bytes


async def call(http, method, path, status=200, **options):
    async with http.request(method, path, **options) as answer:
        document = await answer.json()
        assert answer.status == status, document
        return document


def tensor(rows):
    return {"name": "x", "shape": [len(rows), 2], "datatype": "FP32", "data": rows}


async def test_what_a_server_says_of_itself_and_its_models(http, doubler):
    assert "binary_tensor_data" in (await call(http, "GET", "/v2"))["extensions"]
    assert await call(http, "GET", "/v2/health/live") == {"live": True}
    await call(http, "GET", "/v2/health/ready")
    found = await call(http, "GET", f"/v2/models/{doubler}")
    assert found["versions"] == ["1.0.0", "2.0.0"]
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert found["outputs"] == [{"name": "value", "datatype": "FP32", "shape": [-1]}]
    assert (await call(http, "GET", f"/v2/models/{doubler}/versions/2.0.0/ready"))["ready"]
    assert (await call(http, "GET", f"/v2/models/{doubler}/ready"))["ready"]
    index = await call(http, "POST", "/v2/repository/index", json={})
    assert {"name": doubler, "version": "2.0.0", "state": "READY", "reason": ""} in index
    assert await call(http, "POST", f"/v2/repository/models/{doubler}/load") == {}
    assert "deploy" in (await call(http, "POST", f"/v2/repository/models/{doubler}/unload", 400))["error"]


async def test_tensors_in_and_out_as_json(http, doubler):
    found = await call(
        http,
        "POST",
        f"/v2/models/{doubler}/versions/1.0.0/infer",
        json={"id": "mine", "inputs": [tensor([[0, 1], [0, 2]])], "outputs": [{"name": "value"}]},
    )
    assert found == {
        "model_name": doubler,
        "model_version": "1.0.0",
        "id": "mine",
        "outputs": [{"name": "value", "datatype": "FP32", "shape": [2], "data": [2.0, 4.0]}],
    }


async def test_a_version_in_the_path_answers_itself_and_without_one_the_release_decides(http, doubler):
    async def versions(path):
        answers = await asyncio.gather(
            *(call(http, "POST", path, json={"inputs": [tensor([[0, 1]])]}) for _ in range(40))
        )
        return {answer["model_version"] for answer in answers}

    assert await versions(f"/v2/models/{doubler}/versions/1.0.0/infer") == {"1.0.0"}
    assert await versions(f"/v2/models/{doubler}/versions/2.0.0/infer") == {"2.0.0"}
    assert await versions(f"/v2/models/{doubler}/infer") == {"1.0.0", "2.0.0"}


async def test_raw_tensors_travel_as_they_are(http, kafka_client, doubler):
    rows = np.array([[0, 1.5], [0, 2.5]], dtype="<f4")
    header = (
        b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],'
        b'"parameters":{"binary_data_output":true}}'
    )
    async with http.post(
        f"/v2/models/{doubler}/versions/1.0.0/infer",
        data=header + rows.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"},
    ) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        at = int(answer.headers["Inference-Header-Content-Length"])
    assert np.frombuffer(body[at:], "<f4").tolist() == [3.0, 5.0]
    # The same over Kafka, with the content type in the record's header.
    reply = await kafka_client.send(
        doubler, header + rows.tobytes(), content_type=v2_content_type(len(header)), pinned_version="1.0.0"
    )
    assert reply.ok
    assert reply.content_type.startswith(V2_JSON)
    assert np.frombuffer(reply.body[v2_header_bytes(reply.content_type) :], "<f4").tolist() == [3.0, 5.0]


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v2/models/doubler/infer", {"inputs": [tensor([[0, 1]]) | {"datatype": "FP99"}]}, 400, "datatype"),
        ("/v2/models/doubler/infer", {"inputs": [tensor([[0, 1]]) | {"shape": [1, 3]}]}, 400, "3 values"),
        ("/v2/models/doubler/infer", {"inputs": [tensor([[0, 1]])], "outputs": [{"name": "no"}]}, 400, "value"),
        ("/v2/models/doubler/infer", {"inputs": []}, 400, "inputs"),
        ("/v2/models/nobody/infer", {"inputs": [tensor([[0, 1]])]}, 404, "nobody"),
        ("/v2/models/doubler/versions/9.0.0/infer", {"inputs": [tensor([[0, 1]])]}, 404, "9.0.0"),
    ],
)
async def test_errors_have_the_protocols_own_form(http, doubler, path, body, status, says):
    found = await call(http, "POST", path, status, json=body)
    assert set(found) == {"error"}
    assert says in found["error"]


async def test_truncated_bytes_are_an_error(http, doubler):
    header = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}'
    async with http.post(
        f"/v2/models/{doubler}/infer",
        data=header + b"1234",
        headers={"Inference-Header-Content-Length": str(len(header))},
    ) as answer:
        assert answer.status == 400
        assert "4 bytes are left" in (await answer.json())["error"]


async def test_a_standard_client_works_unchanged(mesh, doubler):
    client_module = pytest.importorskip("tritonclient.http.aio", exc_type=ImportError)
    client = client_module.InferenceServerClient(mesh.url.removeprefix("http://"))
    try:
        assert await client.is_server_live()
        assert await client.is_model_ready(doubler)
        rows = np.array([[0, 1], [0, 2], [0, 3]], dtype=np.float32)
        for binary in (False, True):
            given = client_module.InferInput("x", list(rows.shape), "FP32")
            given.set_data_from_numpy(rows, binary_data=binary)
            wanted = client_module.InferRequestedOutput("value", binary_data=binary)
            result = await client.infer(doubler, [given], model_version="1.0.0", outputs=[wanted])
            assert result.as_numpy("value").tolist() == [2.0, 4.0, 6.0]
    finally:
        await client.close()


async def test_a_table_of_named_columns(http, sdk, payments):
    table, model = payments
    await sdk.register_model("v2-payments", model, sample=table[:20])
    found = await call(
        http,
        "POST",
        "/v2/models/v2-payments/infer",
        json={
            "inputs": [
                {"name": "merchant", "shape": [2], "datatype": "BYTES", "data": ["Acme", "Globex"]},
                {"name": "amount", "shape": [2, 1], "datatype": "FP32", "data": [[300.0], [300.0]]},
            ],
            "outputs": [{"name": "label"}],
        },
    )
    expected = model.predict(table.assign(amount=300.0, merchant=["Acme", "Globex"] * 200)[:2]).tolist()
    assert found["outputs"][0]["data"] == expected
