"""A batched answer equals that of the request alone."""

import asyncio
import time

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.schemas.errors import InvalidInput, ModelFailed
from modelmesh.schemas.payloads.releases import Batching, VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from modelmesh.schemas.records import PredictionRequest
from modelmesh.workers.versions.runner import VersionRunner

SIGNATURE = Signature(
    inputs=(TensorSpec(name="a", dtype="float64"), TensorSpec(name="b", dtype="string")),
    outputs=(TensorSpec(name="value", dtype="float64"),),
)
SPEC = VersionSpec(
    version="1.0.0", framework="sklearn", served_as="sklearn", artifact="a", digest="d",
    signature=SIGNATURE, batching=Batching(max_batch_size=5, max_latency_ms=1),
)  # fmt: skip


class Doubler:
    """Stands for a loaded model: doubles each row's number, and fails on the whole batch if one number is 13."""

    slots = 2

    def __init__(self):
        self.batches = []

    async def predict(self, tensors):
        self.batches.append(len(tensors["a"]))
        await asyncio.sleep(0)
        if 13 in tensors["a"]:
            raise ModelFailed("13 is unlucky")
        return {"value": tensors["a"] * 2 + np.char.str_len(tensors["b"].astype(str))}

    def close(self):
        pass


row = st.fixed_dictionaries({"a": st.integers(0, 20), "b": st.sampled_from(["", "x", "long"])})
good = st.one_of(row, st.lists(row, min_size=1, max_size=7))
bad = st.sampled_from([{"a": 1}, {"a": "text", "b": "x"}, [], {"a": 1, "b": "x", "c": 2}])


def lone(inputs):
    """The expected answer from these inputs alone."""
    rows = inputs if isinstance(inputs, list) else [inputs]
    if any(set(row) != {"a", "b"} or isinstance(row["a"], str) for row in rows) or not rows:
        return InvalidInput
    if any(row["a"] == 13 for row in rows):
        return ModelFailed
    return [row["a"] * 2 + len(row["b"]) for row in rows]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(good, good, good, bad), min_size=1, max_size=25))
async def test_a_batched_answer_equals_the_lone_one(mix):
    outcomes = {}
    done = asyncio.Event()
    model = Doubler()

    def on_result(served):
        assert served.token not in outcomes, "answered twice"
        outcomes[served.token] = served.outcome
        if len(outcomes) == len(mix):
            done.set()

    server = VersionRunner(SPEC, model, on_result=on_result, on_batch=lambda ran: None)
    for number, inputs in enumerate(mix):
        body = orjson.dumps({"inputs": inputs})
        request = PredictionRequest(str(number), "m", time.time() + 60, "replies", 0, body, version="1.0.0")
        server.submit(request, number)
    async with asyncio.timeout(10):
        await done.wait()
    for number, inputs in enumerate(mix):
        expected, outcome = lone(inputs), outcomes[number]
        if isinstance(expected, list):
            assert orjson.loads(outcome)["outputs"]["value"] == expected
        else:
            assert isinstance(outcome, expected)
    largest = max(len(inputs) if isinstance(inputs, list) else 1 for inputs in mix)
    assert all(rows <= max(5, largest) for rows in model.batches)
