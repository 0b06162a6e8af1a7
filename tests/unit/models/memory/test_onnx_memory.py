"""An ONNX model's most memory: what is proved is true; what grows with values, or faster than the rows, is not proved."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.memory.onnx_memory import memory_of
from onnx import TensorProto, helper, numpy_helper
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

FLOAT, INT64, BOOL, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING
MIB = 2**20


def node(kind, inputs, outputs="y", domain="", **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), domain=domain, **attributes)


def value(name, kind=FLOAT, shape=("N", 4)):
    return helper.make_tensor_value_info(name, kind, shape)


X = (value("x"),)


def model(*nodes, inputs=X, out=FLOAT, declared=(), functions=(), **constants):
    """Return a model whose output is y; its declared shape says the least that it could."""
    initializers = [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()]
    graph = helper.make_graph(list(nodes), "g", list(inputs), [value("y", out, ["N"])], initializers)
    graph.value_info.extend(declared)
    opsets = [helper.make_opsetid(*each) for each in (("", 18), ("ai.onnx.ml", 3), ("mine", 1))]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


def proved(tmp_path, document):
    path = tmp_path / "m.onnx"
    path.write_bytes(document.SerializeToString())
    return memory_of(path)


def body(*nodes, out="inner", kind=FLOAT, inputs=()):
    return helper.make_graph(list(nodes), "b", list(inputs), [value(out, kind, None)])


COLUMN, ROW = np.ones((4, 1), np.float32), np.array([1, -1])
TEXTS = (value("x", STRING),)
KERNEL = np.ones((8, 3, 3, 3), np.float32)
PICTURES = (value("x", FLOAT, ["N", 3, 16, 16]),)
TOKENS = (value("x", INT64, ["N", 7]),)
SIZE_OF_X = (node("Shape", "x", "s"), node("Gather", "s zero", "n"))


BOUNDED = {
    "elementwise": model(node("Relu", "x")),
    "product": model(node("MatMul", "x w"), w=COLUMN),
    "flat": model(node("Reshape", "x flat"), flat=np.array([-1])),
    "halved": model(node("Reshape", "x w"), w=np.array([-1, 2])),
    "rows of its own": model(
        *SIZE_OF_X, node("Concat", "n one", "t", axis=0), node("Reshape", "x t"), zero=np.array([0]), one=np.array([4])
    ),
    "rows times four": model(
        *SIZE_OF_X, node("Mul", "n four", "t"), node("ConstantOfShape", "t"), zero=np.array([0]), four=np.array([4])
    ),
    "a class token": model(
        *SIZE_OF_X,
        node("Concat", "n one", "t", axis=0),
        node("Expand", "w t"),
        zero=np.array([0]),
        one=np.array([8]),
        w=np.ones((1, 8), np.float32),
    ),
    "repeated a few times": model(node("Tile", "x w"), w=np.array([1, 3])),
    "wider by broadcasting": model(
        node("Unsqueeze", "x axis", "u"), node("Add", "u w"), axis=np.array([2]), w=np.ones((1, 1, 9), np.float32)
    ),
    "convolution": model(node("Conv", "x w", "c"), node("GlobalAveragePool", "c"), inputs=PICTURES, w=KERNEL),
    "transposed convolution": model(
        node("ConvTranspose", "x w", strides=[2, 2]), inputs=PICTURES, w=np.ones((3, 8, 3, 3), np.float32)
    ),
    "pool": model(node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), inputs=PICTURES),
    "embedding": model(node("Gather", "w x"), inputs=TOKENS, w=np.ones((100, 16), np.float32)),
    "best ones": model(node("TopK", "x k", "y places"), k=np.array([2])),
    "range of constants": model(
        node("Range", "a b c", "r"),
        node("Cast", "r", "f", to=FLOAT),
        node("Add", "x f"),
        a=np.array(0),
        b=np.array(4),
        c=np.array(1),
    ),
    "slices": model(node("Slice", "x a b c"), a=np.array([1]), b=np.array([2**63 - 1]), c=np.array([1])),
    "a fixed number of rows": model(node("Relu", "x"), inputs=(value("x", FLOAT, [8, 4]),)),
    "texts to numbers": model(
        node("LabelEncoder", "x", domain="ai.onnx.ml", keys_strings=["a", "b"], values_int64s=[1, 2]),
        inputs=TEXTS,
        out=INT64,
    ),
    "numbers to texts": model(
        node("LabelEncoder", "x", domain="ai.onnx.ml", keys_int64s=[1], values_strings=["a" * 50]),
        inputs=TOKENS,
        out=STRING,
    ),
    "texts handed on": model(node("Identity", "x"), inputs=TEXTS, out=STRING),
}
AMPLIFYING = {
    "Expand by values": (
        model(
            node("Cast", "x", "s", to=INT64),
            node("Reshape", "s flat", "f"),
            node("Expand", "one f"),
            flat=np.array([-1]),
            one=np.ones(1, np.float32),
        ),
        "Expand.*values",
    ),
    "Tile by values": (
        model(
            node("Reshape", "x flat", "f"),
            node("Tile", "one f"),
            inputs=TOKENS,
            flat=np.array([-1]),
            one=np.ones((1,) * 7, np.float32),
        ),
        "Tile.*values",
    ),
    "ConstantOfShape": (
        model(node("Reshape", "x flat", "f"), node("ConstantOfShape", "f"), inputs=TOKENS, flat=np.array([-1])),
        "ConstantOfShape.*values",
    ),
    "Range": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("Range", "zero m one"),
            inputs=TOKENS,
            out=INT64,
            zero=np.array(0),
            one=np.array(1),
        ),
        "Range",
    ),
    "Range of floats": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("Range", "zero m one"),
            zero=np.array(0, np.float32),
            one=np.array(1, np.float32),
        ),
        "Range",
    ),
    "Pad by values": (
        model(
            node("Reshape", "x flat", "f"),
            node("Pad", "w f"),
            inputs=(value("x", INT64, ["N", 2]),),
            flat=np.array([-1]),
            w=np.ones(1, np.float32),
        ),
        "Pad",
    ),
    "Resize by values": (
        model(
            node("Reshape", "s flat", "f"),
            node("Resize", "x f"),
            inputs=(*PICTURES, value("s", FLOAT)),
            flat=np.array([-1]),
        ),
        "Resize",
    ),
    "OneHot of a depth that is given": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("OneHot", "x m values"),
            inputs=TOKENS,
            values=np.array([0, 1], np.float32),
        ),
        "OneHot",
    ),
    "rows against rows": (
        model(node("Transpose", "x", "t"), node("Add", "x t"), inputs=(value("x", FLOAT, ["N", 1]),)),
        "Add.*square",
    ),
    "outer product": (model(node("Transpose", "x", "t"), node("MatMul", "x t")), "MatMul.*square"),
    "rows of a Reshape against rows": (
        model(
            node("Reshape", "x flat", "f"),
            node("Add", "x f"),
            inputs=(value("x", FLOAT, ["N", 1]),),
            flat=np.array([1, -1]),
        ),
        "Add.*square",
    ),
    "Expand to rows of rows": (
        model(
            *SIZE_OF_X,
            node("Concat", "n n", "t", axis=0),
            node("Expand", "w t"),
            zero=np.array([0]),
            w=np.ones((1, 1), np.float32),
        ),
        "square",
    ),
    "rows times rows": (
        model(*SIZE_OF_X, node("Mul", "n n", "t"), node("ConstantOfShape", "t"), zero=np.array([0])),
        "values",
    ),
    "what rows lack": (
        model(
            *SIZE_OF_X,
            node("Sub", "many n", "t"),
            node("ConstantOfShape", "t"),
            zero=np.array([0]),
            many=np.array([10**9]),
        ),
        "values",
    ),
    "a share of many": (
        model(
            *SIZE_OF_X,
            node("Div", "many n", "t"),
            node("ConstantOfShape", "t"),
            zero=np.array([0]),
            many=np.array([10**9]),
        ),
        "values",
    ),
    "Einsum": (model(node("Einsum", "x x", equation="ab,cd->abcd")), "Einsum"),
    "If": (
        model(
            node(
                "If",
                "c",
                then_branch=body(node("Identity", "x", "inner")),
                else_branch=body(node("Identity", "x", "inner")),
            ),
            c=np.array(True),
        ),
        "If",
    ),
    "Loop": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node(
                "Loop",
                "m c",
                body=body(
                    node("Identity", "c", "inner"), kind=BOOL, inputs=(value("i", INT64, []), value("c", BOOL, []))
                ),
            ),
            inputs=TOKENS,
            c=np.array(True),
        ),
        "Loop",
    ),
    "Scan": (
        model(
            node(
                "Scan",
                "x",
                num_scan_inputs=1,
                body=body(node("Identity", "r", "inner"), inputs=(value("r", FLOAT, [4]),)),
            )
        ),
        "Scan",
    ),
    "function": (
        model(
            node("F", "x", domain="mine"),
            functions=[
                helper.make_function(
                    "mine",
                    "F",
                    ["x"],
                    ["y"],
                    [node("Einsum", "x x", equation="ab,cd->abcd")],
                    [helper.make_opsetid("", 18)],
                )
            ],
        ),
        "F",
    ),
    "sequence": (
        model(node("SequenceConstruct", "x x", "q"), node("ConcatFromSequence", "q", axis=0)),
        "SequenceConstruct",
    ),
    "NonZero": (model(node("NonZero", "x"), out=INT64), "NonZero"),
    "texts joined": (model(node("StringConcat", "x x"), inputs=TEXTS, out=STRING), "StringConcat"),
    "texts repeated": (model(node("Tile", "x w"), inputs=TEXTS, out=STRING, w=np.array([1, 1000])), "repeat texts"),
    "a text for all": (
        model(node("Gather", "x w"), inputs=TEXTS, out=STRING, w=np.zeros(1000, np.int64)),
        "repeat texts",
    ),
    "free dimension": (model(node("Relu", "x"), inputs=(value("x", FLOAT, ["N", "M"]),)), "free dimension"),
    "free dimension of the same name": (
        model(node("Relu", "x"), inputs=(value("x", FLOAT, ["N", "N"]),)),
        "free dimension",
    ),
    "what the file says of it": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("Range", "zero m one", "r"),
            node("Cast", "r", to=FLOAT),
            inputs=TOKENS,
            declared=(value("r", INT64, [4]), value("m", INT64, [])),
            zero=np.array(0),
            one=np.array(1),
        ),
        "Range",
    ),
    "a name in our own words": (
        model(node("Relu", "x"), inputs=(value("x", FLOAT, ["N", "1 rows"]),)),
        "free dimension",
    ),
    "sizes that begin again at zero": (
        model(
            *SIZE_OF_X,
            node("Mul", "n many", "t"),
            node("ConstantOfShape", "t"),
            zero=np.array([0]),
            many=np.array([2**62]),
        ),
        "values",
    ),
    "pads that begin again at zero": (
        model(node("Pad", "x pads"), pads=np.array([0, 2**63 - 1, 0, 2**63 - 1])),
        "measure",
    ),
    "strides beyond measure": (
        model(
            node("ConvTranspose", "x w", strides=[2**62, 2**62]), inputs=PICTURES, w=np.ones((3, 8, 3, 3), np.float32)
        ),
        "measure",
    ),
    "an operator of ONNX Runtime's": (
        model(helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft"), w=COLUMN),
        "FusedMatMul",
    ),
}


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
    """Return the bytes of all tensors of a run, ONNX Runtime's own word for their sizes."""
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
    memory = memory_of(tmp_path / "form.onnx")
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
        least = sum(
            8 * np.size(each) if isinstance(each, np.ndarray) else 100 * sum(map(len, each)) for each in answers
        )
        assert least <= memory.fixed + memory.row * count


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
        memory = memory_of(path)
        assert memory.bounded, memory.why
