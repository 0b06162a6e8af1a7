"""A model that never answers, or never loads, holds nothing for ever: its process is ended, and others are answered meanwhile."""

import asyncio
import contextlib
import json
import sys
import time
from types import SimpleNamespace

import aiohttp
import numpy as np
import psutil
import pytest
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.cli.local.mesh import Mesh
from modelmesh.models import serving_process
from modelmesh.models.memory.budget import MemoryBudget
from modelmesh.models.proof.proof import Limits
from modelmesh.models.sandbox import process as processes
from modelmesh.models.sandbox.channel import send_request
from modelmesh.models.serving_process import ServingProcess
from modelmesh.schemas.errors import ModelFailed
from modelmesh.schemas.settings import Settings
from modelmesh.workers.versions.execution import LoadedModel

from ...by_value import by_value
from . import model_attacks

HANGS, REFUSES = 42.0, 43.0
LIMITS = Limits(
    allow_pickles=True, memory_bytes=32 * 1024**3, file_bytes=64 * 1024**2, load_seconds=60.0, batch_seconds=1.0
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a model's process is looked for in /proc")


class SleepsOnOneRow:
    """Answers the row, doubled; sleeps for ever where it is HANGS."""

    def predict(self, rows):
        import time

        if rows[0, 0] == 42.0:
            time.sleep(10_000_000.0)
        if rows[0, 0] == 43.0:
            raise ValueError("not this row")
        return rows[:, 0] * 2


class SleepsWhenServed:
    """Proves itself like any other, and never loads where it is served: there its processor time has no limit."""

    def __setstate__(self, state):
        import resource
        import time

        if resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY:
            time.sleep(10_000_000.0)

    def __getstate__(self):
        return {"any": 1}

    def predict(self, rows):
        return rows[:, 0] * 3


def one(value):
    return {"inputs": np.full((1, 1), value)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(by_value(SleepsOnOneRow()))
    return path


@pytest.fixture
def served(path):
    model = ServingProcess(path, model_attacks.spec_of(path), 1, LIMITS)
    with contextlib.closing(model):
        yield model


def answer_of(outputs):
    (array,) = outputs.values()
    return array.tolist()


def test_a_batch_that_hangs_ends_in_words_and_the_next_one_is_answered(served):
    before = served._process
    with pytest.raises(ModelFailed, match="gave no answer within 1 s"):
        served.predict(one(HANGS))
    assert answer_of(served.predict(one(4.0))) == [8.0]
    assert served._process is not before


def test_what_hangs_again_and_again_is_started_after_pauses_alone(served, monkeypatch):
    started = []
    start = ServingProcess._start
    monkeypatch.setattr(ServingProcess, "_start", lambda self: started.append(1) or start(self))
    now = [1000.0]
    # The clock stands still: what is measured is who is started, not how long it takes.
    monkeypatch.setattr(serving_process, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def hangs():
        process = served._running()
        monkeypatch.setattr(process, "call", lambda *_, **__: (_ for _ in ()).throw(TimeoutError))
        with pytest.raises(ModelFailed, match="no answer"):
            served.predict(one(1.0))

    pauses = []
    for time_in_a_row in range(1, 10):
        hangs()
        begun, count = now[0], len(started)
        while True:
            try:
                served._running()
                break
            except ModelFailed as error:
                assert f"hung {time_in_a_row} times in a row" in error.detail
                served.restart()
                assert len(started) == count, "it was started within its pause"
                now[0] += 0.5
        assert len(started) == count + 1
        pauses.append(now[0] - begun)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert answer_of(served.predict(one(4.0))) == [8.0]
    hangs()
    assert served._running(), "an answer ends the pauses"


def test_what_does_not_load_again_pauses_too(served, monkeypatch):
    def hangs(self):
        raise ModelFailed("the model hung: it was not loaded within 60 s")

    with pytest.raises(ModelFailed, match="gave no answer"):
        served.predict(one(HANGS))
    monkeypatch.setattr(ServingProcess, "_start", hangs)
    with pytest.raises(ModelFailed, match="not loaded within"):
        served.predict(one(1.0))
    with pytest.raises(ModelFailed, match="hung 2 times in a row: it is started again in"):
        served.predict(one(1.0))


@pytest.mark.parametrize("what", ["load", "batch"])
def test_whoever_does_not_read_is_no_better(what, path, monkeypatch):
    """A process that takes no more of what it is sent hangs as well."""
    model = ServingProcess(path, model_attacks.spec_of(path), 1, LIMITS)
    with contextlib.closing(model):
        # It sleeps over one batch, so that it reads no other: the channel's two ends hold less than this.
        send_request(model._process._channel, "predict", one(HANGS))
        large = {"inputs": np.zeros((4_000_000, 1))}
        if what == "load":
            with pytest.raises(TimeoutError):
                model._process.call("load", large, timeout=1.0)
        else:
            with pytest.raises(ModelFailed, match="gave no answer"):
                model.predict(large)
            assert answer_of(model.predict(one(4.0))) == [8.0]


def test_a_load_that_hangs_ends_in_words_and_leaves_no_process(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(by_value(SleepsWhenServed()))
    with pytest.raises(ModelFailed, match="not loaded within 2 s"):
        ServingProcess(path, model_attacks.spec_of(path), 1, Limits(True, 32 * 1024**3, 64 * 1024**2, load_seconds=2.0))
    until = time.monotonic() + 60
    while left := psutil.Process(processes._fork_server._process.pid).children(recursive=True):
        assert time.monotonic() < until, left
        time.sleep(0.05)


async def test_a_version_answers_again_and_its_process_is_started_before_it_is_asked(path):
    model = LoadedModel(
        model_attacks.spec_of(path), path, threads=1, slots=1, limits=LIMITS, budget=MemoryBudget(2**33, 2**20)
    )
    await model.load()
    with contextlib.closing(model):
        with pytest.raises(ModelFailed, match="gave no answer"):
            await model.predict(one(HANGS))
        async with asyncio.timeout(60):
            while model._predictor._process is None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        assert answer_of(await model.predict(one(4.0))) == [8.0]
        with pytest.raises(Exception, match="not this row"):
            await model.predict(one(REFUSES))


# ---- on a mesh


@pytest.fixture
async def mesh(tmp_path):
    settings = Settings(
        data=tmp_path / "mesh", port=0, pickles="allow", deadline=3.0, max_deadline=3.0, model_load_timeout=10.0,
    )  # fmt: skip
    async with Mesh(
        settings, workers=1, external_kafka=False, progress=no_progress, on_restart=lambda member, code: None
    ) as running:
        yield running


async def register(http, name, model):
    form = aiohttp.FormData({"name": name, "framework": "sklearn", "sample": "[[1.0]]"})
    form.add_field("artifact", by_value(model), filename="model", content_type="application/octet-stream")
    async with http.post("/models", data=form) as answer:
        return answer.status, await answer.json()


async def predict(http, name, value):
    async with http.post(f"/predict/{name}", json={"inputs": [[value]]}) as answer:
        return answer.status, await answer.json()


async def why_not(http, name):
    async with http.get("/ui/state") as answer:
        return json.dumps([replica["failed"].get(name) for replica in (await answer.json())["replicas"]])


async def test_a_mesh_answers_for_others_and_takes_a_model_back_that_hung(mesh):
    async with aiohttp.ClientSession(mesh.url) as http, asyncio.timeout(300):
        assert (await register(http, "sleeper", SleepsOnOneRow()))[0] == 201
        assert (await register(http, "other", SleepsOnOneRow()))[0] == 201
        assert (await predict(http, "sleeper", 4.0))[0] == 200
        hung = asyncio.create_task(predict(http, "sleeper", HANGS))
        answered = 0
        while not hung.done():
            assert (await predict(http, "other", 4.0))[0] == 200
            answered += not hung.done()
        assert answered, "nobody asked while it hung"
        status, problem = await hung
        assert (status, problem["code"]) in {(504, "deadline_exceeded"), (500, "model_failed")}, problem
        assert problem["detail"]
        while (await predict(http, "sleeper", 4.0))[0] != 200:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)

        status, document = await register(http, "never", SleepsWhenServed())
        assert status == 201, document
        assert not document["ready"]
        while "not loaded within 10 s" not in await why_not(http, "never"):
            assert (await predict(http, "other", 4.0))[0] == 200
            await asyncio.sleep(0.1)
        assert (await predict(http, "never", 4.0))[1]["code"] == "no_worker"
