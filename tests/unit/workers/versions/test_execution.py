"""Any exception of a model becomes an error that requests can be answered with."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from modelmesh.models.memory.budget import MemoryBudget
from modelmesh.models.proof.proof import Limits
from modelmesh.schemas.errors import InvalidInput, ModelFailed, ModelRefusedInput
from modelmesh.schemas.payloads.model_memory import Memory
from modelmesh.schemas.payloads.releases import VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from modelmesh.workers.versions.execution import LoadedModel


class Predictor:
    def __init__(self, error):
        self._error = error

    def predict(self, inputs):
        raise self._error


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (InvalidInput("the graph does not take these inputs", field="inputs"), ModelRefusedInput),
        (ModelRefusedInput("no"), ModelRefusedInput),
        (ValueError("unknown category"), ModelRefusedInput),
        (ModelFailed("no"), ModelFailed),
        (ZeroDivisionError("no"), ModelFailed),
    ],
)
async def test_an_exception_of_a_model_is_a_refusal_or_a_failure(error, becomes):
    model = LoadedModel.__new__(LoadedModel)
    model._predictor, model.fault = Predictor(error), lambda: None
    with ThreadPoolExecutor(1) as model._executor, pytest.raises(becomes) as caught:
        await model.predict({})
    assert type(caught.value) is becomes
    assert str(error) in str(caught.value)


class Unwritable(Exception):
    """An exception whose str() fails, and which cannot be recreated from its arguments."""

    def __init__(self, one, other):
        super().__init__(one, other)

    def __str__(self):
        raise RuntimeError("no text")


class Leaving:
    """A model that exits, or raises unusual exceptions, depending on the row."""

    def predict(self, rows):
        for row in rows:
            if row[0] == 1:
                sys.exit(3)
            if row[0] == 2:
                raise KeyboardInterrupt
            if row[0] == 3:
                raise asyncio.CancelledError
            if row[0] == 4:
                raise Unwritable(1, 2)
            if row[0] == 5:
                raise Unclear(1, 2)
        return [0.5 for _ in rows]


class Unclear(ValueError):
    """An exception that cannot be recreated from its arguments."""

    def __init__(self, one, other):
        super().__init__("unclear")


async def test_a_model_that_exits_ends_neither_the_worker_nor_its_process(tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(Leaving(), path)
    signature = Signature(inputs=(TensorSpec(name="a", dtype="float64", shape=(-1, 1)),))
    spec = VersionSpec(
        version="1.0.0", framework="sklearn", served_as="sklearn", artifact="a", digest="d", signature=signature,
        sample=[[0.0]],
    )  # fmt: skip
    limits = Limits(allow_pickles=True, memory_bytes=32 * 1024**3, file_bytes=1024**3)
    model = LoadedModel(spec, path, threads=1, slots=1, limits=limits, budget=MemoryBudget(2**33, 2**20))
    await model.load()
    try:
        for odd, becomes in (
            (1, ModelFailed),
            (2, ModelFailed),
            (3, ModelFailed),
            (4, ModelFailed),
            (5, ModelRefusedInput),
        ):
            with pytest.raises(becomes) as caught:
                await asyncio.wait_for(model.predict({"a": np.array([[float(odd)]])}), 60)
            assert "died" not in str(caught.value)
            assert (await model.predict({"a": np.zeros((2, 1))}))["value"].tolist() == [0.5, 0.5]
    finally:
        model.close()


async def test_a_cancelled_load_releases_its_memory(tmp_path, monkeypatch):
    started, proceed = threading.Event(), threading.Event()
    budget = MemoryBudget(2**33, 2**20)

    def slow(*_, **__):
        reservation = budget.reserve(Memory(weights=1000, fixed=10, row=1), slots=1, alone=False)
        started.set()
        proceed.wait()
        return Predictor(None), reservation

    monkeypatch.setattr("modelmesh.workers.versions.execution.load_version", slow)
    signature = Signature(inputs=(TensorSpec(name="a", dtype="float64", shape=(-1, 1)),))
    spec = VersionSpec(
        version="1.0.0", framework="onnx", served_as="onnx", artifact="a", digest="d", signature=signature
    )
    limits = Limits(allow_pickles=True, memory_bytes=2**33, file_bytes=2**30)
    model = LoadedModel(spec, tmp_path, threads=1, slots=1, limits=limits, budget=budget)
    loading = asyncio.create_task(model.load())
    await asyncio.to_thread(started.wait)
    assert budget._reserved > 0
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    proceed.set()
    await asyncio.to_thread(model._executor.shutdown)
    assert budget._reserved == 0
