"""An ONNX model whose memory grows with what it is asked is served apart: its worker and other models live on."""

import asyncio

import aiohttp
import numpy as np
import orjson
import psutil
import pytest
from modelmesh.models.memory.budget import MemoryBudget
from modelmesh.models.proof.proof import Limits, prove_in_fresh_process
from modelmesh.schemas.errors import ModelFailed
from modelmesh.schemas.payloads.releases import VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from modelmesh.workers.versions.execution import LoadedModel
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
GIB = 2**30
BUDGET = MemoryBudget(8 * GIB, 2**24)
SIGNATURE = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=(-1, 1)),))


def model(path, *nodes, **constants):
    made = [helper.make_node(kind, given.split(), [out], **attributes) for kind, given, out, attributes in nodes]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    shape = ["N", 1]
    edges = [[helper.make_tensor_value_info(name, FLOAT, shape)] for name in "xy"]
    graph = helper.make_graph(made, "g", *edges, initializers)
    document = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(document.SerializeToString())
    return path


def amplifier(path):
    """y = x + the sum of as many zeros as the largest x says: a few bytes ask for any number of gigabytes."""
    return model(
        path,
        ("ReduceMax", "x", "largest", {"keepdims": 0}),
        ("Cast", "largest", "whole", {"to": INT64}),
        ("Reshape", "whole one", "size", {}),
        ("ConstantOfShape", "size", "zeros", {}),
        ("ReduceSum", "zeros", "sum", {"keepdims": 0}),
        ("Add", "x sum", "y", {}),
        one=np.array([1]),
    )


def spec_of(path, **more):
    return VersionSpec(
        version="1.0.0", framework="onnx", served_as="onnx", artifact=str(path), digest="0" * 64, signature=SIGNATURE,
        sample=[[1.0]], **more,
    )  # fmt: skip


async def answers(loaded, value, rows=1):
    found = await loaded.predict({"x": np.full((rows, 1), value, np.float32)})
    return found["y"].ravel().tolist()


async def test_it_is_refused_in_words_and_goes_on(tmp_path):
    path = amplifier(tmp_path / "m.onnx")
    # Registered before anything was proved of memory: whoever loads it finds out.
    limits = Limits(allow_pickles=False, memory_bytes=6 * GIB, file_bytes=GIB)
    loaded = LoadedModel(spec_of(path), path, threads=1, slots=2, limits=limits, budget=BUDGET)
    await loaded.load()
    try:
        assert loaded.slots == 1
        for much in (4e9, 1e12, 8e17):
            with pytest.raises(ModelFailed, match=r"more memory for these inputs.*MODELMESH_MODEL_MEMORY_BYTES"):
                await answers(loaded, much)
            assert await answers(loaded, 3) == [3]
    finally:
        loaded.close()


async def test_what_is_proved_is_known_from_the_registration_and_stays_in_the_worker(tmp_path):
    limits = Limits(allow_pickles=False, memory_bytes=6 * GIB, file_bytes=GIB)
    small = model(tmp_path / "small.onnx", ("Add", "x w", "y", {}), w=np.ones(1, np.float32))
    proofs = [
        await prove_in_fresh_process(path, "onnx", None, [[1.0]], True, tmp_path / "c", limits=limits, timeout=120)
        for path in (small, amplifier(tmp_path / "large.onnx"))
    ]
    assert [proof.memory.bounded for proof in proofs] == [True, False]
    assert proofs[1].memory.why == "ConstantOfShape: the size of its output depends on values"
    budget = MemoryBudget(8 * GIB, 2**24)
    loaded = LoadedModel(
        spec_of(small, memory=proofs[0].memory), small, threads=1, slots=2, limits=limits, budget=budget
    )
    await loaded.load()
    assert loaded.slots == 2
    assert await answers(loaded, 1, rows=25_000) == [2] * 25_000  # in parts
    reserved = budget._reserved
    loaded.close()
    assert reserved > budget._reserved == 0


async def register(session, name, path):
    form = aiohttp.FormData()
    for field, value in {"name": name, "version": "1.0.0", "framework": "onnx", "sample": "[[1.0]]"}.items():
        form.add_field(field, value)
    form.add_field("artifact", path.read_bytes(), filename="model.onnx")
    async with session.post("/models", data=form) as answer:
        assert answer.status == 201, await answer.text()
        return (await answer.json())["version"]


async def ask(session, name, value):
    async with session.post(
        f"/predict/{name}", json={"inputs": [[value]]}, headers={"X-Timeout-Ms": "60000"}
    ) as answer:
        return answer.status, orjson.loads(await answer.read())


async def until_served(session, name):
    status = 0
    async with asyncio.timeout(120):
        while status != 200:
            status, document = await ask(session, name, 1)
            await asyncio.sleep(0.1)
    return document


async def test_the_worker_and_its_other_models_live_on(keyed, tmp_path):
    (worker,) = [each for each in keyed.mesh.supervisor.members if each.role == "worker"]
    pid, process = worker.pid, psutil.Process(worker.pid)
    async with keyed.session(keyed.root) as session:
        small = model(tmp_path / "small.onnx", ("Add", "x w", "y", {}), w=np.ones(1, np.float32))
        beside = await register(session, "beside-the-greedy", small)
        greedy = await register(session, "greedy", amplifier(tmp_path / "greedy.onnx"))
        assert beside["proof"]["memory"]["why"] == ""
        assert greedy["proof"]["memory"]["why"] == "ConstantOfShape: the size of its output depends on values"
        for name in ("beside-the-greedy", "greedy"):
            await until_served(session, name)
        before, largest, kept = process.memory_info().rss, 0, 0
        done = asyncio.Event()

        async def ask_the_other():
            nonlocal largest, kept
            while not done.is_set():
                status, document = await ask(session, "beside-the-greedy", 1)
                assert status == 200, document
                kept += 1
                largest = max(largest, process.memory_info().rss)
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask_the_other())
            # Some hundred megabytes, which it may have, and more than any machine has.
            for much, expected in ((2e8, 200), (1e13, 500), (1, 200)):
                status, document = await ask(session, "greedy", much)
                assert status == expected, document
                if status != 200:
                    assert "more memory for these inputs" in document["detail"]
            done.set()
        assert kept > 3
        assert worker.pid == pid
        assert largest - before < 200 * 2**20
