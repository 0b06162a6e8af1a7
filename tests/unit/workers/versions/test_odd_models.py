"""Models that lose rows, refuse inputs, must not batch, or have a limited domain: each caller gets its own answer."""

import asyncio
import time

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.models.compiled.domain import OutsideDomain
from modelmesh.schemas.errors import ModelFailed, ModelRefusedInput
from modelmesh.schemas.payloads.releases import Batching, VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from modelmesh.schemas.records import PredictionRequest
from modelmesh.telemetry.bookkeeping import Bookkeeping
from modelmesh.workers.versions.compiled_watch import CompiledWatch, WatchSchedule
from modelmesh.workers.versions.runner import VersionRunner

SPEC = VersionSpec(
    version="1.0.0", framework="sklearn", served_as="onnx", artifact="a", digest="d",
    signature=Signature(inputs=(TensorSpec(name="a", dtype="float64"),)), batching=Batching(max_batch_size=16),
)  # fmt: skip


class Model:
    """A loaded model that applies a function to its column."""

    slots = 2

    def __init__(self, answer):
        self.answer = answer
        self.batches = []

    async def predict(self, inputs):
        self.batches.append(inputs["a"].tolist())
        await asyncio.sleep(0)
        return {"value": np.asarray(self.answer(inputs["a"]))}

    def close(self):
        pass


async def ask(answer, requests, *, spec=SPEC, original_answer=None, watch=None):
    """Send requests with these numbers at once; return the outcomes, the model and the observed batches."""
    outcomes, done, model, observed = {}, asyncio.Event(), Model(answer), []

    def on_result(served):
        assert served.token not in outcomes, "answered twice"
        value = orjson.loads(served.outcome)["outputs"]["value"] if isinstance(served.outcome, bytes) else None
        outcomes[served.token] = served.outcome if value is None else value
        if len(outcomes) == len(requests):
            done.set()

    options = {"on_result": on_result, "on_batch": lambda ran: observed.append((ran.inputs, ran.outputs))}
    original_runner = VersionRunner(spec, Model(original_answer), **options) if original_answer is not None else None
    server = VersionRunner(spec, model, original=original_runner, **options)
    if watch is not None:
        server.watch = watch(server)
    for number, numbers in enumerate(requests):
        body = orjson.dumps({"inputs": [{"a": each} for each in numbers]})
        server.submit(PredictionRequest(str(number), "m", time.time() + 60, "replies", 0, body), number)
    async with asyncio.timeout(10):
        await done.wait()
    assert not server.queued
    return outcomes, model, observed


def double(numbers):
    return numbers * 2


def odd_ones_dropped(numbers):
    return numbers[numbers % 2 == 0] * 2


requests = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(requests)
async def test_lost_rows_never_shift_anothers_answers(sent):
    outcomes, _, _ = await ask(odd_ones_dropped, sent)
    for number, numbers in enumerate(sent):
        if any(each % 2 for each in numbers):
            assert isinstance(outcomes[number], ModelFailed)
            assert "one row in, one row out" in outcomes[number].detail
        else:
            assert outcomes[number] == [each * 2 for each in numbers]


@pytest.mark.parametrize(
    "wrong", [lambda x: np.repeat(x, 2), lambda x: x[:0], lambda x: np.float64(1.0), lambda x: np.append(x, 0)]
)
async def test_a_wrong_number_of_output_rows_is_refused(wrong):
    outcomes, _, observed = await ask(wrong, [[1.0], [2.0, 3.0]])
    assert all(isinstance(outcome, ModelFailed) for outcome in outcomes.values())
    assert not observed


@settings(max_examples=40, deadline=None)
@given(requests)
async def test_requests_of_a_model_marked_alone_share_no_batch(sent):
    outcomes, model, _ = await ask(lambda x: x - x.mean(), sent, spec=SPEC.model_copy(update={"alone": True}))
    for number, numbers in enumerate(sent):
        assert outcomes[number] == pytest.approx([each - np.mean(numbers) for each in numbers])
    assert sorted(model.batches) == sorted(sent)


def unlucky(numbers):
    if 7 in numbers:
        raise ModelRefusedInput("7 is no number of ours")
    return numbers * 2


@settings(max_examples=40, deadline=None)
@given(requests)
async def test_only_the_request_that_the_model_refuses_gets_the_error(sent):
    outcomes, _, _ = await ask(unlucky, sent)
    for number, numbers in enumerate(sent):
        if 7 in numbers:
            assert isinstance(outcomes[number], ModelRefusedInput)
        else:
            assert outcomes[number] == [each * 2 for each in numbers]


def inside_below_five(numbers):
    inside = numbers < 5
    if not inside.all():
        raise OutsideDomain(inside, {"value": np.where(inside, numbers * 2, -1)})
    return numbers * 2


@settings(max_examples=60, deadline=None)
@given(requests)
async def test_requests_outside_the_compiled_domain_go_to_the_original(sent):
    outcomes, _, observed = await ask(inside_below_five, sent, original_answer=double)
    assert outcomes == {number: [each * 2 for each in numbers] for number, numbers in enumerate(sent)}
    # Each row is counted once, with the answer that was sent.
    counted = sorted(float(each) for inputs, _ in observed for each in inputs["a"])
    assert counted == sorted(float(each) for numbers in sent for each in numbers)
    assert all(np.array_equal(inputs["a"] * 2, outputs["value"]) for inputs, outputs in observed)


def wrong_at_three(numbers):
    return np.where(numbers == 3, -1.0, numbers * 2)


async def test_a_compiled_form_that_was_seen_to_differ_is_replaced():
    differences = []

    def watch(server):
        def differs(description):
            differences.append(description)
            server.use_original()

        return CompiledWatch(Model(double), WatchSchedule(1.0, 60.0, lambda: 0.0, 0.0), 1e-5, differs, Bookkeeping())

    done = asyncio.Queue()
    original_runner = VersionRunner(SPEC, Model(double), on_result=done.put_nowait, on_batch=lambda ran: None)
    server = VersionRunner(
        SPEC, Model(wrong_at_three), on_result=done.put_nowait, on_batch=lambda ran: None, original=original_runner
    )
    server.watch = watch(server)

    async def one(number):
        body = orjson.dumps({"inputs": {"a": number}})
        server.submit(PredictionRequest("1", "m", time.time() + 60, "replies", 0, body), None)
        served = await asyncio.wait_for(done.get(), 10)
        return orjson.loads(served.outcome)["outputs"]["value"][0]

    assert await one(2) == 4
    assert await one(3) == -1  # before the comparison
    async with asyncio.timeout(10):
        while not differences:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert await one(3) == 6
    assert "apart" in differences[0]


async def test_answers_to_refused_inputs_differ_and_a_model_that_does_not_load_is_no_difference():
    seen = []
    for raises in (ModelRefusedInput("no"), ModelFailed("does not load")):

        def original(numbers, error=raises):
            raise error

        watch = CompiledWatch(
            Model(original), WatchSchedule(1.0, 60.0, lambda: 0.0, 0.0), 1e-5, seen.append, Bookkeeping()
        )
        watch.batch_done({"a": np.array([1.0])}, {"value": np.array([2.0])}, 0.0)
        await watch._task
    assert len(seen) == 1
    assert "refuses" in seen[0]


@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=200), st.floats(0, 1))
def test_the_schedule_takes_its_share_and_one_in_each_interval(draws, share):
    waiting = iter(draws)
    schedule = WatchSchedule(share, 10.0, lambda: next(waiting, 1.0), now=0.0)
    taken = [now for now in range(100) if schedule.selects(float(now))]
    gaps = np.diff([0, *taken, 100])
    assert gaps.max() <= 10


async def test_a_missing_value_in_one_request_does_not_turn_anothers_integers_into_floats():
    kinds = []

    def remember(numbers):
        kinds.append(numbers.dtype.kind)
        return numbers

    spec = SPEC.model_copy(
        update={"signature": Signature(inputs=(TensorSpec(name="a", dtype="int64", missing=True, pandas="int64"),))}
    )
    await ask(remember, [[2**60 + 1], [None], [5]], spec=spec)
    assert "i" in kinds
    assert len(kinds) == 2
