"""The one table of formats, and what passes for another format: by its name, by two beginnings, by a member twice."""

import ast
import io
import json
import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import get_args

import cloudpickle
import joblib
import modelmesh
import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.artifacts.check import check_artifact
from modelmesh.models.artifacts.formats import FORMATS
from modelmesh.models.memory.budget import MemoryBudget
from modelmesh.models.proof.proof import Limits
from modelmesh.models.serving_process import load_version
from modelmesh.schemas.errors import ModelMeshError, PickleRefused
from modelmesh.schemas.payloads.releases import Framework, VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_files
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

GIGABYTE = 1024**3


class Runs:
    """Executes code when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return exec, (f"import pathlib; pathlib.Path({str(self.trace)!r}).write_text('ran')",)


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "harm"


def fitted():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    return LogisticRegression().fit(rows, rows[:, 0] > 0)


def good_skops():
    return skops.io.dumps(fitted())


def onnx_file():
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4]) for name in "xy")
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return helper.make_model(graph).SerializeToString()


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]


def zipped(entries, comment=b""):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
        archive.comment = comment
    return data.getvalue()


def refused(path, framework, **options):
    with pytest.raises(ModelMeshError) as error:
        check_artifact(path, framework, **({"allow_pickles": False, "max_bytes": GIGABYTE} | options))
    assert error.value.field == "artifact"
    return error.value.detail


def test_each_framework_has_formats_and_the_last_takes_whatever_is_left(tmp_path):
    (tmp_path / "rest").write_bytes(b"anything")
    for framework in get_args(Framework):
        own = [form for form in FORMATS if form.framework == framework]
        assert own
        assert own[-1].holds(tmp_path / "rest")
        assert not any(form.holds(tmp_path / "rest") for form in own[:-1])


def test_a_worker_runs_what_is_data_alone():
    for framework in get_args(Framework):
        if adapter_for(framework).runs_in_worker:
            assert not any(form.is_code for form in FORMATS if form.framework == framework), framework


def test_data_refuses_bytes_that_are_nothing(tmp_path):
    path = tmp_path / "nothing"
    for data in (b"", b"\x00" * 100, b"{}", pickle.dumps({}), zipped([("schema.json", b"{}")]), zipped([("a", b"b")])):
        path.write_bytes(data)
        for framework in get_args(Framework):
            refused(path, framework)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_with_an_error_of_ours(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(data)
        for framework in get_args(Framework):
            refused(path, framework)


@pytest.mark.parametrize("framework", ["sklearn", "onnx"])
def test_a_good_file_with_some_bytes_changed_is_taken_or_refused_with_an_error_of_ours(framework, tmp_path):
    good = good_skops() if framework == "sklearn" else onnx_file()
    random, path = np.random.default_rng(17), tmp_path / "model"
    outcomes = set()
    for _ in range(300):
        data = bytearray(good)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            data[place] = random.integers(0, 256)
        path.write_bytes(data[: random.integers(1, len(data))] if random.random() < 0.2 else data)
        try:
            check_artifact(path, framework, allow_pickles=False, max_bytes=GIGABYTE)
            outcomes.add("taken")
        except ModelMeshError as error:
            assert error.field == "artifact"
            outcomes.add("refused")
    assert outcomes == {"taken", "refused"}


LOADERS = {
    "load",
    "loads",
    "load_pt2",
    "load_package",
    "aoti_load_package",
    "Unpickler",
    "import_module",
    "exec",
    "eval",
}
OF_MODELS = {"joblib", "pickle", "cloudpickle", "torch", "skops", "dill", "mlflow", "marshal", "shelve"}


def test_model_files_are_loaded_by_adapters_alone():
    """Nothing else in the service calls a loader of code, so that what adapters are kept from doing nobody does."""
    root = Path(modelmesh.__file__).resolve().parent
    found = set()
    for path in root.rglob("*.py"):
        place = path.relative_to(root).as_posix()
        if place.split("/")[0] in ("tests", "benchmarks", "examples", "deploy", "docs") or place.startswith("."):
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LOADERS:
                name = ast.unparse(call.func)
                if name.split(".")[0] in OF_MODELS and "(" not in name:
                    found.add((place, name))
    found.discard(
        ("models/sandbox/channel.py", "pickle.loads")
    )  # what the service asks a model's process, read in that
    assert found == {
        ("models/adapters/sklearn_adapter.py", "joblib.load"),
        ("models/adapters/sklearn_adapter.py", "skops.io.load"),
        ("models/adapters/torch_adapter.py", "torch.jit.load"),
        ("models/adapters/torch_adapter.py", "torch.export.load"),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("write", ["pickle", "cloudpickle", "joblib", "joblib, compressed"])
def test_a_pickle_is_code_however_it_is_written_and_named(write, protocol, trace, tmp_path):
    for name in ("model.joblib", "model.skops", "model.onnx", "model.json"):
        path = tmp_path / name
        if write.startswith("joblib"):
            joblib.dump(Runs(trace), path, protocol=protocol, compress=3 if "," in write else 0)
        else:
            path.write_bytes((cloudpickle if write == "cloudpickle" else pickle).dumps(Runs(trace), protocol))
        for framework in get_args(Framework):
            refused(path, framework)
    assert "skops" in refused(tmp_path / "model.joblib", "sklearn")
    assert not trace.exists()
    joblib.load(tmp_path / "model.joblib")
    assert trace.exists(), "it is a real one"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("a pickle before it", "before the archive"),
        ("a pickle behind it", "after the archive"),
        ("a comment", "after the archive"),
        ("its schema twice", "twice"),
        ("a member twice, written otherwise", "twice"),
        ("a path out of it", "leads out"),
    ],
)
def test_an_archive_that_can_be_read_in_two_ways_is_refused(how, words, trace, tmp_path):
    good, evil = good_skops(), pickle.dumps(Runs(trace))
    path = tmp_path / "model.skops"
    path.write_bytes(
        {
            "a pickle before it": evil + good,
            "a pickle behind it": good + evil,
            "a comment": zipped(members(good), comment=evil),
            "its schema twice": zipped([*members(good), ("schema.json", dict(members(good))["schema.json"])]),
            "a member twice, written otherwise": zipped([*members(good), ("a/b", b"1"), ("a\\b", b"2")]),
            "a path out of it": zipped([*members(good), ("../a", b"1")]),
        }[how]
    )
    for allowed in (False, True):
        assert words in refused(path, "sklearn", allow_pickles=allowed)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "exec"), ("posix", "system"), ("joblib", "load"), ("evil", "Evil")],
)
def test_a_type_from_elsewhere_in_a_skops_file_is_refused_and_not_imported(module, name, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    good = dict(members(good_skops()))
    schema = json.loads(good["schema.json"])
    schema["__module__"], schema["__class__"] = module, name
    path = tmp_path / "model.skops"
    path.write_bytes(zipped((good | {"schema.json": json.dumps(schema).encode()}).items()))
    assert name in refused(path, "sklearn")


@pytest.mark.parametrize("function", [os.system, np.load, np.fromfile, np.save, load_files, joblib.load, np.vectorize])
def test_a_function_that_runs_code_or_opens_files_in_a_skops_file_is_refused(function, tmp_path):
    path = tmp_path / "model.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(function), LogisticRegression()), path)
    with pytest.raises(PickleRefused, match=function.__name__):
        check_artifact(path, "sklearn", allow_pickles=False, max_bytes=GIGABYTE)


def test_a_pickle_in_an_array_of_a_skops_file_is_not_loaded(trace, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Runs(trace)], dtype=object), allow_pickle=True)
    good = members(good_skops())
    assert any(name.endswith(".npy") for name, _ in good)
    path = tmp_path / "model.skops"
    path.write_bytes(zipped([(name, buffer.getvalue() if name.endswith(".npy") else data) for name, data in good]))
    with pytest.raises(ModelMeshError):
        adapter_for("sklearn").load(path, None, [[0.0, 1.0, 2.0]], 1)
    assert not trace.exists()


@pytest.mark.parametrize("content", ["filename", "file"])
def test_an_estimator_that_opens_the_files_that_a_request_names_is_refused(content, tmp_path):
    """Data, and yet it would read whatever file a caller names."""
    words = tmp_path / "words"
    words.write_text("one two")
    given = [str(words)] if content == "filename" else [words.open()]
    model = make_pipeline(CountVectorizer(input=content).fit(given))
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    spec = VersionSpec(
        version="1.0.0",
        framework="sklearn",
        served_as="sklearn",
        artifact=str(path),
        digest="",
        signature=Signature(inputs=(TensorSpec(name="features", dtype="string", shape=(-1,)),)),
        sample=["/etc/passwd"],
    )
    limits = Limits(allow_pickles=False, memory_bytes=32 * GIGABYTE, file_bytes=GIGABYTE)
    with pytest.raises(ModelMeshError, match="opens the files"):
        load_version(path, spec, limits, MemoryBudget(2**33, 2**20))
