"""PyTorch's files are code, whatever stands in them: refused unless allowed, and then loaded in an isolated process alone."""

import contextlib
import io
import os
import pickle
import warnings

import pytest

pytest.importorskip("torch")

import joblib
import numpy as np
import torch
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.artifacts.check import check_artifact
from modelmesh.models.memory.budget import MemoryBudget
from modelmesh.models.proof.proof import Limits, prove_in_fresh_process
from modelmesh.models.serving_process import load_version
from modelmesh.schemas.errors import InvalidInput, ModelMeshError, PickleRefused
from modelmesh.schemas.payloads.releases import VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from modelmesh.workers.versions.execution import LoadedModel

from .hostile_torch import ATTACKS, Adds, program

GIGABYTE = 1024**3
ALLOWED = Limits(allow_pickles=True, memory_bytes=32 * GIGABYTE, file_bytes=GIGABYTE)
BUDGET = MemoryBudget(2**33, 2**20)
REFUSED = Limits(allow_pickles=False, memory_bytes=32 * GIGABYTE, file_bytes=GIGABYTE)
SIGNATURE = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=(-1, 3)),))
ROWS = [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]


@pytest.fixture(params=ATTACKS)
def attack(request, tmp_path):
    """A hostile file, what its harm writes, and what stood there before."""
    trace = tmp_path / "harm"
    path = ATTACKS[request.param](tmp_path / "model.pt2", trace)
    if path is None:
        pytest.skip("there is no C compiler")
    return request.param, path, trace, (trace.read_bytes() if trace.exists() else None)


def done(trace, before):
    return trace.exists() and trace.read_bytes() != before


def spec_of(path, served_as="torch"):
    return VersionSpec(
        version="1.0.0",
        framework="torch",
        served_as=served_as,
        artifact=str(path),
        digest="",
        signature=SIGNATURE,
        sample=ROWS,
    )


def test_the_attacks_are_real(attack):
    name, path, trace, before = attack
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if name.startswith("script"):
                torch.jit.load(str(path))(torch.zeros(2))
            elif name.startswith("pickle"):
                with path.open("rb") as file:
                    pickle.load(file) if "before" in name else torch.load(file, weights_only=False)
            else:
                torch.export.load(io.BytesIO(path.read_bytes()))
        except Exception:  # the harm comes before the error
            pass
    assert done(trace, before)


@pytest.fixture
def loaded_here(monkeypatch):
    """The files that this process itself has loaded: it stands for the gateway, the worker and the replay command."""
    found = []
    for where, name in (
        (torch, "load"),
        (torch.jit, "load"),
        (torch.export, "load"),
        (joblib, "load"),
        (pickle, "load"),
    ):
        real = getattr(where, name)
        monkeypatch.setattr(
            where, name, lambda *given, real=real, **named: found.append(given) or real(*given, **named)
        )
    return found


@pytest.mark.parametrize("declared", ["torch", "sklearn", "onnx"])
def test_where_code_is_refused_no_file_is_taken_whatever_it_is_said_to_be(attack, declared):
    _, path, trace, before = attack
    with pytest.raises(ModelMeshError) as refused:
        check_artifact(path, declared, allow_pickles=False, max_bytes=GIGABYTE)
    assert refused.value.field == "artifact"
    assert not done(trace, before)


async def test_where_code_is_refused_it_is_neither_proved_nor_loaded(attack, tmp_path):
    _, path, trace, before = attack
    with pytest.raises(PickleRefused):
        await prove_in_fresh_process(
            path, "torch", SIGNATURE, ROWS, True, tmp_path / "compiled", limits=REFUSED, timeout=60
        )
    loaded = LoadedModel(spec_of(path), path, threads=1, slots=1, limits=REFUSED, budget=BUDGET)
    with pytest.raises(ModelMeshError, match="refuses code"):
        await loaded.load()
    assert not done(trace, before)


async def test_where_code_is_allowed_it_never_runs_in_this_process(attack, loaded_here, tmp_path):
    _, path, trace, before = attack
    with contextlib.suppress(ModelMeshError):
        await prove_in_fresh_process(path, "torch", None, ROWS, True, tmp_path / "compiled", limits=ALLOWED, timeout=60)
    loaded = LoadedModel(spec_of(path), path, threads=1, slots=1, limits=ALLOWED, budget=BUDGET)
    with contextlib.suppress(ModelMeshError):
        await loaded.load()
    loaded.close()
    with contextlib.suppress(Exception):  # whatever the model raises
        load_version(path, spec_of(path), ALLOWED, BUDGET)[0].predict({"x": np.zeros((1, 3), np.float32)})
    assert not loaded_here
    if done(trace, before):  # else its process could not even write there
        assert trace.read_bytes() != str(os.getpid()).encode()


async def test_an_allowed_program_is_served_with_its_own_answers(tmp_path):
    path = program(tmp_path / "model.pt2")
    loaded = LoadedModel(spec_of(path), path, threads=1, slots=4, limits=ALLOWED, budget=BUDGET)
    await loaded.load()
    try:
        answer = await loaded.predict({"x": np.array(ROWS, np.float32)})
        expected = torch.export.load(path).module()(torch.tensor(ROWS))
        np.testing.assert_allclose(answer["output"], expected.detach().numpy(), rtol=1e-6)
    finally:
        loaded.close()


def test_a_refusal_says_the_way_out(tmp_path):
    with pytest.raises(PickleRefused, match=r"register the module itself with a sample.*ONNX.*MODELMESH_PICKLES=allow"):
        check_artifact(program(tmp_path / "model.pt2"), "torch", allow_pickles=False, max_bytes=GIGABYTE)


class Named(torch.nn.Module):
    """Two inputs, of which one is whole numbers, and outputs by name, one of them none."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, x, token):
        scores = self.layer(x) + self.table(token).sum(1)
        return {"scores": scores, "best": (scores.argmax(1), None)}


NAMED = {"x": np.random.default_rng(0).normal(size=(5, 3)), "token": np.arange(15).reshape(5, 3) % 10}


@pytest.mark.parametrize(
    ("module", "sample"),
    [
        (Adds(), ROWS),
        (Adds().to(torch.float64), ROWS),
        (
            torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Dropout()),
            np.ones((2, 1, 6, 6), np.float32),
        ),
        (Named(), NAMED),
    ],
    ids=["sums", "doubles", "pictures", "named"],
)
def test_the_form_that_is_sent_instead_is_data_and_answers_as_the_module(module, sample, tmp_path):
    """Which is made on the caller's side, of the module and of the program alike."""
    from modelmesh.models.adapters.torch_export import export

    torch.manual_seed(0)
    exported = export(module, sample)
    for given in (module, exported):
        path, framework = adapter_for("torch").save_safely(given, tmp_path, sample)
        assert framework == "onnx"
        check_artifact(path, "onnx", allow_pickles=False, max_bytes=GIGABYTE)
        served = adapter_for("onnx").load(path, None, [], 1)
        code = tmp_path / "model.pt2"
        adapter_for("torch").save(given, code, sample)
        itself = adapter_for("torch").load(code, None, [], 1)
        assert [spec.name for spec in served.signature.inputs] == [spec.name for spec in itself.signature.inputs]
        assert [spec.dtype for spec in served.signature.inputs] == [spec.dtype for spec in itself.signature.inputs]
        for rows in (1, 3):
            inputs = {
                spec.name: np.random.default_rng(rows).integers(0, 9, (rows, *spec.row_shape)).astype(spec.dtype)
                for spec in itself.signature.inputs
            }
            found, expected = served.predict(inputs), itself.predict(inputs)
            assert list(found) == list(expected)
            for name, array in expected.items():
                np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


def test_a_module_without_an_onnx_form_is_refused_in_words(tmp_path):
    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(InvalidInput, match=r"cannot export this module, .*refused"):
        adapter_for("torch").save_safely(Odd(), tmp_path, ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(Adds())
    with pytest.raises(InvalidInput, match="the module that it was made from"):
        adapter_for("torch").save_safely(scripted, tmp_path, ROWS)
