"""The memory bound of ONNX models holds; graphs whose memory depends on values, or grows faster than the rows, have none."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.memory.onnx_memory import memory_bound
from onnx import helper
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from .amplifying_graphs import AMPLIFYING
from .graphs import BOUNDED, MIB, model, node


def proved(tmp_path, document):
    path = tmp_path / "m.onnx"
    path.write_bytes(document.SerializeToString())
    return memory_bound(path)


@pytest.mark.parametrize("case", BOUNDED)
def test_what_follows_from_the_rows_is_proved_and_is_not_exceeded(case, tmp_path):
    memory = proved(tmp_path, BOUNDED[case])
    assert memory.bounded, memory.why
    for rows in (1, 2, 7, 64):
        assert taken(BOUNDED[case], rows) <= memory.fixed + memory.row * rows + memory.texts * 4 * rows


@pytest.mark.parametrize("case", AMPLIFYING)
def test_what_follows_from_values_or_grows_faster_than_the_rows_is_not_proved(case, tmp_path):
    document, why = AMPLIFYING[case]
    memory = proved(tmp_path, document)
    assert not memory.bounded
    assert re.search(why, memory.why), memory.why


def test_a_large_constant_counts(tmp_path):
    large = model(
        node("ConstantOfShape", "s", "c"), node("ReduceSum", "c", "r"), node("Add", "x r"), s=np.array([2**30])
    )
    assert proved(tmp_path, large).fixed >= 2**32


def taken(document, rows):
    """Return the bytes of all tensors of a run, as ONNX Runtime reports them."""
    whole = onnx.ModelProto.FromString(document.SerializeToString())
    names = [name for each in whole.graph.node for name in each.output]
    for each in whole.graph.output:
        each.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(whole)
    del whole.graph.output[:]
    types = {
        each.name: each.type.tensor_type.elem_type for each in (*inferred.graph.value_info, *document.graph.output)
    }
    whole.graph.output.extend(helper.make_tensor_value_info(name, types.get(name, 1), None) for name in names)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {}
    for each in session.get_inputs():
        shape = [each.shape[0] if isinstance(each.shape[0], int) else rows, *each.shape[1:]]
        feeds[each.name] = {
            "tensor(float)": np.ones(shape, np.float32),
            "tensor(double)": np.ones(shape),
            "tensor(int64)": np.ones(shape, np.int64),
            "tensor(string)": np.full(shape, "abcd", object),
            "tensor(bool)": np.ones(shape, bool),
        }[each.type]
    answers = session.run(None, feeds)
    return sum(each.nbytes if each.dtype != object else 32 * each.size for each in [*answers, *feeds.values()])


STEPS = {
    "Relu": lambda width: ((), {}, width),
    "Softmax": lambda width: ((), {"axis": -1}, width),
    "MatMul": lambda width: ((np.ones((width, 3), np.float32),), {}, 3),
    "Tile": lambda width: ((np.array([1, 2]),), {}, 2 * width),
    "Add": lambda width: ((np.ones((1, width), np.float32),), {}, width),
    "Concat": None,
    "ReduceSum": lambda width: ((np.array([1]),), {"keepdims": 1}, 1),
    "Pad": lambda width: ((np.array([0, 1, 0, 2]),), {}, width + 3),
    "Gather": lambda width: ((np.array([0, width - 1, 0]),), {"axis": 1}, 3),
    "Reshape": lambda width: ((np.array([-1, width]),), {}, width),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=7), st.integers(1, 200))
def test_any_graph_of_such_operators_takes_no_more_than_was_proved(tmp_path_factory, kinds, rows):
    nodes, constants, name, width = [], {}, "x", 4
    for place, kind in enumerate(kinds):
        out = f"t{place}" if place < len(kinds) - 1 else "y"
        if kind == "Concat":
            nodes.append(helper.make_node(kind, [name, name], [out], axis=1))
            width *= 2
        else:
            more, attributes, width = STEPS[kind](width)
            names = [f"c{place}_{at}" for at in range(len(more))]
            constants |= dict(zip(names, more, strict=True))
            nodes.append(helper.make_node(kind, [name, *names], [out], **attributes))
        name = out
    document = model(*nodes, **constants)
    memory = proved(tmp_path_factory.mktemp("m"), document)
    assert memory.bounded, memory.why
    assert taken(document, rows) <= memory.fixed + memory.row * rows


def texts_and_numbers():
    return ColumnTransformer(
        [
            ("t", OneHotEncoder(handle_unknown="ignore"), [0]),
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), [1, 2]),
        ]
    )


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(20, random_state=0),
        ExtraTreesRegressor(20, random_state=0),
        GradientBoostingClassifier(n_estimators=10, random_state=0),
        HistGradientBoostingRegressor(max_iter=10),
        make_pipeline(StandardScaler(), LogisticRegression()),
        Ridge(),
        LinearSVC(),
        MLPClassifier((8,), max_iter=20, random_state=0),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_compiled_from_an_estimator_stays_in_the_worker(estimator, tmp_path):
    rows, labels = load_iris(return_X_y=True)
    check_form(estimator.fit(rows, labels), rows[:5].tolist(), tmp_path)


def test_so_does_what_is_compiled_with_columns_of_text(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"t": ["a", "b", "c", "a"] * 10, "n": np.arange(40.0), "m": np.arange(40.0) ** 2})
    estimator = make_pipeline(texts_and_numbers(), LogisticRegression()).fit(table, ["no", "yes"] * 20)
    check_form(estimator, table[:5].to_dict("records"), tmp_path)


def check_form(estimator, sample, tmp_path):
    adapter = adapter_for("sklearn")
    path = tmp_path / "model.joblib"
    adapter.save(estimator, path, None)
    (form,) = adapter.compile(adapter.load(path, None, sample, 1), path)[:1]
    (tmp_path / "form.onnx").write_bytes(form)
    memory = memory_bound(tmp_path / "form.onnx")
    assert memory.bounded, memory.why
    assert memory.row < 20_000
    assert memory.weights + memory.fixed < 100 * MIB


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GradientBoostingClassifier(n_estimators=3),
        ExtraTreesRegressor(5, random_state=0),
        Ridge(),
        MLPClassifier((8,), max_iter=20, random_state=0),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.parametrize("labels", ["texts", "numbers", "two texts"])
@pytest.mark.filterwarnings("ignore")
def test_what_skl2onnx_makes_stays_in_the_worker_and_takes_no_more(estimator, labels, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    rows, classes = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    if hasattr(estimator, "predict_proba") and labels != "numbers":
        classes = np.array(["a", "bb", "ccc" if labels == "texts" else "bb"])[classes]
    made = skl2onnx.to_onnx(estimator.fit(rows, classes), rows[:1])
    memory = proved(tmp_path, made)
    assert memory.bounded, memory.why
    assert memory.row < 20_000
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 100):
        answers = session.run(None, {"X": rows[:count]})
        minimum = sum(
            8 * np.size(each) if isinstance(each, np.ndarray) else 100 * sum(map(len, each)) for each in answers
        )
        assert minimum <= memory.fixed + memory.row * count


def test_torch_modules_that_the_client_exports_stay_in_the_worker(tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    pictures = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    encoder = nn.Sequential(nn.Embedding(50, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    for module, sample in ((pictures, torch.randn(3, 3, 12, 12)), (encoder, torch.randint(0, 50, (3, 5)))):
        path, framework = adapter_for("torch").save_safely(module.eval(), tmp_path, sample)
        assert framework == "onnx"
        memory = memory_bound(path)
        assert memory.bounded, memory.why
