"""gRPC calls with odd metadata, names and tensors end in a status of the caller's, and hold nothing."""

import pytest
from modelmesh.broker.embedded.server import free_port

from .gateway_alone import gateway_alone

grpc = pytest.importorskip("grpc")
pb = pytest.importorskip("tritonclient.grpc.service_pb2")
service_pb2_grpc = pytest.importorskip("tritonclient.grpc.service_pb2_grpc")
READ = ["authorization", "x-request-id", "x-routing-key", "traceparent"]
VALUES = ["", " ", "a" * 3000, "a b", "%00", "-1"]
NAMES = ["", "\x00", "a\x1bb", "m\n", "é", "x" * 1_000_000, "../m", "M"]
# Status codes that say that it is our fault.
OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


@pytest.fixture(scope="module")
async def alone(tmp_path_factory):
    async with gateway_alone(tmp_path_factory.mktemp("grpc"), auth="keys", grpc_port=free_port()) as running:
        server = running.gateway._grpc_server()
        await server.start()
        running.producer.answers = "failed"  # what a model would answer is not the question
        running.address = f"127.0.0.1:{running.gateway._settings.grpc_port}"
        yield running
        await server.stop(0)


async def call(alone, request, *metadata, key=None):
    """Return the status code of an inference; None: it went through."""
    key = key or alone.key("predict")
    async with grpc.aio.insecure_channel(alone.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            await stub.ModelInfer(request, metadata=(("x-api-key", key), *metadata), timeout=30)
        except grpc.aio.AioRpcError as error:
            assert not any(alone.taken.values())
            return error.code(), error.details()
    return None, ""


def infer(model="m", shape=(1,), datatype="FP64", raw=bytes(8), name="x", **fields):
    request = pb.ModelInferRequest(model_name=model, **fields)
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    request.raw_input_contents.append(raw)
    return request


async def test_the_answer_of_a_model_comes_through(alone):
    assert (await call(alone, infer()))[1] == "no"


@pytest.mark.parametrize("name", READ)
async def test_metadata_that_is_odd_or_comes_twice(alone, name):
    for value in VALUES:
        code, said = await call(alone, infer(), (name, value))
        assert code not in OURS or said == "no", (name, value[:20], said)
    if name != "traceparent":  # of which gRPC itself keeps one
        code, said = await call(alone, infer(), (name, "a"), (name, "b"))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert name in said
    code, said = await call(alone, infer(), ("x-other-bin", b"\xff\x00"), ("x-other", "a"), ("x-other", "b"))
    assert said == "no", "what nobody reads may say what it likes"


@pytest.mark.parametrize("field", ["model", "model_version", "id", "name", "datatype"])
async def test_names_that_are_odd(alone, field):
    for value in NAMES:
        code, said = await call(alone, infer(**{field: value}))
        assert code not in OURS or said == "no", (field, value[:20], said)


@pytest.mark.parametrize("shape", [(), (-1,), (0,), (2**62, 2**62), (1,) * 10_000])
async def test_shapes_that_are_odd(alone, shape):
    code, said = await call(alone, infer(shape=shape))
    assert code not in OURS or said == "no", said


async def test_each_row_costs_one_of_the_rate(alone):
    key = alone.key("predict", requests_per_minute=7)
    codes = [await call(alone, infer(shape=(3, 1), raw=bytes(24)), key=key) for _ in range(3)]
    assert [said for _, said in codes[:2]] == ["no", "no"]
    assert codes[2][0] == grpc.StatusCode.RESOURCE_EXHAUSTED
