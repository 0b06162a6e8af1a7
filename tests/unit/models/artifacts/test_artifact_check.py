"""Malicious pickles and archives are refused, good files are accepted."""

import os
import stat
import zipfile

import joblib
import numpy as np
import pytest
from modelmesh.models.adapters.sklearn_adapter import SklearnAdapter
from modelmesh.models.artifacts.archives import check_archive
from modelmesh.models.artifacts.check import check_artifact
from modelmesh.schemas.errors import InvalidInput, PickleRefused
from onnx import TensorProto, helper, numpy_helper, save
from onnx.external_data_helper import convert_model_to_external_data
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

MEGABYTE = 1024 * 1024


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def check(path, framework, allow_pickles=False, max_bytes=64 * MEGABYTE):
    check_artifact(path, framework, allow_pickles=allow_pickles, max_bytes=max_bytes)


def zipped(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


@pytest.fixture
def trace(tmp_path):
    """A file that the malicious code creates."""
    return tmp_path / "harm-was-done"


@pytest.mark.parametrize("compress", [0, 3])
def test_a_joblib_file_is_refused_and_nothing_of_it_runs(tmp_path, trace, compress):
    path = tmp_path / "model.joblib"
    joblib.dump(Runs(f"touch {trace}"), path, compress=compress)
    with pytest.raises(PickleRefused, match="skops"):
        check(path, "sklearn")
    assert not trace.exists()
    joblib.load(path)
    assert trace.exists(), "the pickle is not malicious: the test shows nothing"


def test_where_pickles_are_allowed_they_are_taken(tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(LogisticRegression(), path)
    check(path, "sklearn", allow_pickles=True)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(3),
        GradientBoostingClassifier(n_estimators=3),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
)
def test_an_estimator_as_skops_is_taken_and_answers_the_same(tmp_path, model):
    rows = np.random.default_rng(0).normal(size=(40, 3))
    model.fit(rows, rows[:, 0] > 0)
    path, _ = SklearnAdapter().save_safely(model, tmp_path, None)
    check(path, "sklearn")
    loaded = SklearnAdapter().load(path, None, rows.tolist(), 1)
    assert (loaded.predict({"features": rows})["label"] == model.predict(rows)).all()


def test_a_skops_file_with_a_function_of_its_own_is_refused(tmp_path):
    import skops.io

    path = tmp_path / "model.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(os.system), LogisticRegression()), path)
    with pytest.raises(PickleRefused, match="system"):
        check(path, "sklearn")


def test_real_torch_archives_are_taken_where_code_is_allowed(tmp_path):
    torch = pytest.importorskip("torch")
    from modelmesh.models.adapters.torch_adapter import TorchAdapter

    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    for number, model in enumerate((module, torch.jit.script(module))):
        path = tmp_path / f"{number}.pt2"
        TorchAdapter().save(model, path, [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
        check(path, "torch", allow_pickles=True)
        with pytest.raises(PickleRefused, match="ONNX"):
            check(path, "torch")


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../evil", "..\\evil", "C:/evil"])
def test_a_path_out_of_the_archive_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match="leads out"):
        check(zipped(tmp_path / "model.pt2", [(name, b"x")]), "torch", allow_pickles=True)


def test_a_link_in_an_archive_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InvalidInput, match="link"):
        check(zipped(tmp_path / "model.pt2", [(link, "/etc/passwd")]), "torch", allow_pickles=True)


def test_a_decompression_bomb_is_refused(tmp_path):
    bomb = zipped(tmp_path / "bomb.pt2", [("a", bytes(50 * MEGABYTE))], compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < MEGABYTE
    with pytest.raises(InvalidInput, match="grows"):
        check(bomb, "torch", allow_pickles=True)
    many = zipped(tmp_path / "many.pt2", [(str(number), os.urandom(MEGABYTE)) for number in range(3)])
    with pytest.raises(InvalidInput, match="more than"):
        check_archive(many, 2 * MEGABYTE)


def test_a_cut_archive_is_an_error_with_a_field(tmp_path):
    whole = zipped(tmp_path / "whole.pt2", [("a", os.urandom(1000))]).read_bytes()
    for cut in range(0, len(whole), 37):
        path = tmp_path / "cut.pt2"
        path.write_bytes(whole[:cut])
        with pytest.raises(InvalidInput) as refused:
            check(path, "torch", allow_pickles=True)
        assert refused.value.field == "artifact"


def test_an_onnx_model_that_names_other_files_is_refused(tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph)
    inside = tmp_path / "inside.onnx"
    save(model, str(inside))
    check(inside, "onnx")
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    save(model, str(tmp_path / "outside.onnx"))
    with pytest.raises(InvalidInput, match="another file"):
        check(tmp_path / "outside.onnx", "onnx")
