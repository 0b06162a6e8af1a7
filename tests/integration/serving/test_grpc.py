"""The Open Inference Protocol over gRPC, asked by a standard client."""

import asyncio

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException


@pytest.fixture
async def client(mesh):
    async with triton.InferenceServerClient(f"127.0.0.1:{mesh.settings.grpc_port}") as opened:
        yield opened


@pytest.fixture
async def stub(mesh):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.settings.grpc_port}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def rows_of(*values):
    rows = np.array([[0, value] for value in values], dtype=np.float32)
    given = triton.InferInput("x", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows)
    return [given]


async def test_a_standard_client_works_unchanged(client, doubler):
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready(doubler)
    assert await client.is_model_ready(doubler, "2.0.0")
    assert "binary_tensor_data" in (await client.get_server_metadata()).extensions
    metadata = await client.get_model_metadata(doubler)
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs] == [
        ("x", "FP32", [-1, 2])
    ]
    index = await client.get_model_repository_index()
    assert (doubler, "1.0.0", "READY") in [(model.name, model.version, model.state) for model in index.models]
    await client.load_model(doubler)

    result = await client.infer(doubler, rows_of(1, 2, 3), model_version="1.0.0", request_id="mine", client_timeout=20)
    assert result.as_numpy("value").tolist() == [2.0, 4.0, 6.0]
    assert (result.get_response().id, result.get_response().model_version) == ("mine", "1.0.0")


async def test_without_a_version_the_release_decides_and_a_user_keeps_the_variant(client, doubler):
    async def version(user):
        found = await client.infer(doubler, rows_of(1), headers={"x-routing-key": user})
        return found.get_response().model_version

    first = await asyncio.gather(*(version(f"user-{number}") for number in range(20)))
    assert set(first) == {"1.0.0", "2.0.0"}
    assert await asyncio.gather(*(version(f"user-{number}") for number in range(20))) == first


async def test_values_in_typed_fields_and_texts(stub, sdk, doubler, payments):
    request = pb.ModelInferRequest(model_name=doubler, model_version="1.0.0")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    tensor.contents.fp32_contents[:] = [0.0, 5.0]
    answer = await stub.ModelInfer(request)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [10.0]

    # What JSON has no word for.
    tensor.contents.fp32_contents[:] = [0.0, float("inf")]
    answer = await stub.ModelInfer(request)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [float("inf")]

    table, model = payments
    await sdk.register_model("grpc-payments", model, sample=table[:20])
    request = pb.ModelInferRequest(model_name="grpc-payments", outputs=[{"name": "label"}])
    request.inputs.add(name="merchant", datatype="BYTES", shape=[2]).contents.bytes_contents[:] = [b"Acme", b"Globex"]
    request.inputs.add(name="amount", datatype="FP64", shape=[2]).contents.fp64_contents[:] = [300.0, 300.0]
    answer = await stub.ModelInfer(request)
    expected = model.predict(table.assign(amount=300.0, merchant=["Acme", "Globex"] * 200)[:2]).tolist()
    assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == expected


async def test_a_stream_goes_on_after_a_bad_request(stub, doubler):
    def request(values):
        asked = pb.ModelInferRequest(model_name=doubler, model_version="1.0.0")
        tensor = asked.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        tensor.contents.fp32_contents[:] = values
        return asked

    async def requests():
        for values in ([0, 1], [0, 1, 2], [0, 3]):
            yield request(values)

    answers = [answer async for answer in stub.ModelStreamInfer(requests())]
    assert [bool(answer.error_message) for answer in answers] == [False, True, False]
    assert np.frombuffer(answers[2].infer_response.raw_output_contents[0], np.float32).tolist() == [6.0]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"model_name": "nobody"}, grpc.StatusCode.NOT_FOUND, "nobody"),
        ({"model_name": "No Such"}, grpc.StatusCode.NOT_FOUND, "No Such"),
        ({"model_version": "9.0.0"}, grpc.StatusCode.NOT_FOUND, "9.0.0"),
        ({"outputs": [{"name": "no"}]}, grpc.StatusCode.INVALID_ARGUMENT, "value"),
        ({"raw_input_contents": [b"1234"]}, grpc.StatusCode.INVALID_ARGUMENT, "takes 8 bytes"),
        ({"raw_input_contents": [b"12345678", b""]}, grpc.StatusCode.INVALID_ARGUMENT, "raw_input_contents"),
        (
            {"inputs": [{"name": "x", "datatype": "FP99", "shape": [1, 2]}]},
            grpc.StatusCode.INVALID_ARGUMENT,
            "datatype",
        ),
        (
            {"inputs": [{"name": "x", "datatype": "FP16", "shape": [1, 2]}], "raw_input_contents": []},
            grpc.StatusCode.INVALID_ARGUMENT,
            "raw_input_contents",
        ),
    ],
)
async def test_errors_have_a_code_and_say_what_is_wrong(stub, doubler, change, code, says):
    fields = {
        "model_name": doubler,
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2]}],
        "raw_input_contents": [np.zeros(2, np.float32).tobytes()],
    }
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(pb.ModelInferRequest(**(fields | change)))
    assert refused.value.code() == code
    assert says in refused.value.details()


async def test_models_are_unloaded_by_their_release(client, doubler):
    with pytest.raises(InferenceServerException, match="deploy another version"):
        await client.unload_model(doubler)
