"""Unusual ONNX models (odd types, fixed rows, ZipMap, external data) are served as the graph computes, or refused."""

import numpy as np
import onnx
import pytest
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.artifacts.check import check_artifact
from modelmesh.models.proof.proof import prove
from modelmesh.models.values.tensors import read_inputs
from modelmesh.schemas.errors import InvalidInput, ModelMeshError, RegistrationRefused
from modelmesh.sdk.model_file import save_model
from onnx import TensorProto, helper, numpy_helper

FLOAT, TEXT = TensorProto.FLOAT, TensorProto.STRING


def graph(nodes, inputs, outputs, initializers=(), opset=17, domains=("ai.onnx.ml",), functions=()):
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(*each) for each in inputs],
            [each if not isinstance(each, tuple) else helper.make_tensor_value_info(*each) for each in outputs],
            list(initializers),
        ),
        opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 3) for domain in domains)],
        ir_version=8,
        functions=list(functions),
    )


def loaded(model, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return adapter_for("onnx").load(path, None, [], 1)


def proved(model, tmp_path, sample=()):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return prove(path, "onnx", None, list(sample), True, tmp_path / "c")


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def copies(kind, shape=(None, 1), to=None):
    to = to or kind
    return graph([node("Cast", "x", "y", to=to)], [("x", kind, shape)], [("y", to, shape)])


NUMBERS = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_width_of_number_arrives_and_leaves_as_it_is(name, tmp_path):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(name))
    proof = proved(copies(kind), tmp_path)
    assert (proof.signature.inputs[0].dtype, proof.signature.outputs[0].dtype) == (name, name)
    edges = np.finfo(name) if name.startswith("float") else np.iinfo(name)
    rows = np.array([[edges.min], [edges.max], [1]], name)
    given, _ = read_inputs(rows.tolist(), proof.signature)
    answer = loaded(copies(kind), tmp_path).predict(given)["y"]
    assert answer.dtype == name
    assert np.array_equal(answer, rows)


def test_bfloat16_is_float32_outside_and_rounds_as_the_graph_does(tmp_path):
    narrow = TensorProto.BFLOAT16
    model = loaded(
        graph(
            [node("Cast", "x", "f", to=FLOAT), node("Add", "f f", "s"), node("Cast", "s", "y", to=narrow)],
            [("x", narrow, [None, 2])],
            [("y", narrow, [None, 2])],
            opset=21,
        ),
        tmp_path,
    )
    assert model.signature.inputs[0].dtype == "float32"
    answer = model.predict({"x": np.array([[1.0, 1.001], [-0.5, 256.0]], np.float32)})["y"]
    assert answer.dtype == np.float32
    assert answer.tolist() == [[2.0, 2.0], [-1.0, 512.0]]


def test_a_type_without_a_numpy_form_is_refused_and_not_served_as_its_bytes(tmp_path):
    with pytest.raises(InvalidInput, match=r"float8.*cast it"):
        loaded(
            graph(
                [node("Cast", "x", "y", to=TensorProto.FLOAT8E4M3FN)],
                [("x", FLOAT, [None, 1])],
                [("y", TensorProto.FLOAT8E4M3FN, [None, 1])],
                opset=21,
            ),
            tmp_path,
        )


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 9])
def test_a_graph_of_fixed_rows_answers_any_number(size, rows, tmp_path):
    model = graph(
        [node("Add", "x z", "y")], [("x", FLOAT, [size, 2]), ("z", FLOAT, [size, 2])], [("y", FLOAT, [size, 2])]
    )
    x = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    assert np.array_equal(loaded(model, tmp_path).predict({"x": x, "z": x})["y"], 2 * x)


def test_a_graph_of_fixed_rows_that_sums_them_up_is_refused(tmp_path):
    model = graph([node("ReduceSum", "x", "y", keepdims=1)], [("x", FLOAT, [4, 2])], [("y", FLOAT, [1, 1])], opset=13)
    with pytest.raises(RegistrationRefused, match="one row in, one row out"):
        proved(model, tmp_path)


def test_what_counts_rows_counts_nothing_else(tmp_path):
    square = graph([node("Identity", "x", "y")], [("x", FLOAT, ["N", "N"])], [("y", FLOAT, ["N", "N"])])
    with pytest.raises(InvalidInput, match="counts rows"):
        loaded(square, tmp_path)
    pairs = graph(
        [node("Transpose", "x", "t"), node("MatMul", "x t", "y")],
        [("x", FLOAT, ["N", 2])],
        [("y", FLOAT, ["N", "N"])],
    )
    with pytest.raises(InvalidInput, match="counts rows"):
        loaded(pairs, tmp_path)
    tables = graph(
        [node("Gather", "w x", "y")], [("x", TensorProto.INT64, [1]), ("w", FLOAT, [10, 3])], [("y", FLOAT, [1, 3])]
    )
    with pytest.raises(InvalidInput, match="1 and 10 rows"):
        loaded(tables, tmp_path)


def test_sizes_of_one_name_must_be_one_size(tmp_path):
    model = loaded(
        graph(
            [node("Mul", "x mask", "y")],
            [("x", FLOAT, ["N", "L"]), ("mask", FLOAT, ["N", "L"])],
            [("y", FLOAT, ["N", "L"])],
        ),
        tmp_path,
    )
    assert model.predict({"x": np.ones((2, 3), np.float32), "mask": np.ones((2, 3), np.float32)})["y"].shape == (2, 3)
    with pytest.raises(InvalidInput, match="3 and 1"):  # which would be stretched to 3
        model.predict({"x": np.ones((2, 3), np.float32), "mask": np.ones((2, 1), np.float32)})


def test_an_input_with_a_default_is_not_asked_for_and_one_without_rows_is_refused(tmp_path):
    nodes, ends = [node("Mul", "x t", "y")], [("y", FLOAT, [None, 2])]
    inputs = [("x", FLOAT, [None, 2]), ("t", FLOAT, [])]
    ten = numpy_helper.from_array(np.array(10, np.float32), "t")
    model = loaded(graph(nodes, inputs, ends, [ten]), tmp_path)
    assert [spec.name for spec in model.signature.inputs] == ["x"]
    assert model.predict({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[10, 10]]
    with pytest.raises(InvalidInput, match="default"):
        loaded(graph(nodes, inputs, ends), tmp_path)


def zipmap(**classes):
    made = graph([node("ZipMap", "x", "y", domain="ai.onnx.ml", **classes)], [("x", FLOAT, [None, 3])], [])
    key = TEXT if "classlabels_strings" in classes else TensorProto.INT64
    values = helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, []))
    made.graph.output.append(helper.make_value_info("y", helper.make_sequence_type_proto(values)))
    return made


@pytest.mark.parametrize("classes", [{"classlabels_strings": ["c", "a", "b"]}, {"classlabels_int64s": [10, -1, 2]}])
def test_the_probabilities_of_a_zipmap_say_whose_they_are(classes, tmp_path):
    """ONNX Runtime returns them sorted by class, not in the order of the graph."""
    proof = proved(zipmap(**classes), tmp_path)
    (given,) = classes.values()
    given = [each.encode() if isinstance(each, bytes) else each for each in given]
    (output,) = proof.signature.outputs
    answer = loaded(zipmap(**classes), tmp_path).predict({"x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)})["y"]
    assert list(output.categories) == sorted(given)
    for row, wanted in zip(answer, ([1, 2, 3], [4, 5, 6]), strict=True):
        assert dict(zip(output.categories, row, strict=True)) == dict(zip(given, wanted, strict=True))


def sequence(inputs, nodes):
    made = graph(nodes, inputs, [])
    made.graph.output.append(helper.make_tensor_sequence_value_info("y", FLOAT, None))
    return made


def test_a_sequence_with_a_tensor_for_each_row_is_a_table_and_another_is_refused(tmp_path):
    model = sequence([("x", FLOAT, ["N", 2])], [node("SplitToSequence", "x", "y", axis=0, keepdims=0)])
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert np.array_equal(loaded(model, tmp_path).predict({"x": rows})["y"], rows)
    uneven = sequence([("x", FLOAT, ["N", 3])], [node("SplitToSequence", "x s", "y", axis=1)])
    uneven.graph.initializer.append(numpy_helper.from_array(np.array([1, 2]), "s"))
    with pytest.raises(RegistrationRefused, match="differ in shape"):
        proved(uneven, tmp_path)


def test_text_takes_no_missing_value(tmp_path):
    """ONNX Runtime would read None as the string "None"."""
    model = graph([node("Identity", "x", "y")], [("x", TEXT, [None, 1])], [("y", TEXT, [None, 1])])
    proof = proved(model, tmp_path, [["a"], [""]])
    assert not proof.signature.inputs[0].missing
    with pytest.raises(InvalidInput, match="no missing value"):
        read_inputs([[None]], proof.signature)
    with pytest.raises(RegistrationRefused, match="no missing value"):
        proved(model, tmp_path, [["a"], [None]])
    texts = np.array([["a\0"], [""], ["\U0001f600é"]], object)
    assert loaded(model, tmp_path).predict({"x": texts})["y"].tolist() == texts.tolist()


def test_an_index_that_is_out_of_range_is_the_callers_error(tmp_path):
    table = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    model = graph([node("Gather", "w x", "y")], [("x", TensorProto.INT64, ["N"])], [("y", FLOAT, ["N", 3])], [table])
    with pytest.raises(InvalidInput, match="does not take these inputs"):
        loaded(model, tmp_path).predict({"x": np.array([7])})


def outside_tensor(name="w"):
    tensor = numpy_helper.from_array(np.ones(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def in_branch():
    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("w", FLOAT, [2])], [outside_tensor()])
    return [node("If", "c", "y", then_branch=branch, else_branch=branch)]


@pytest.mark.parametrize(
    "hidden",
    [
        {"initializers": [outside_tensor()]},
        {"nodes": [node("Constant", "", "y", value=outside_tensor())]},
        {"nodes": in_branch()},
        {"nodes": [node("Loop", "", "y", body=helper.make_graph(in_branch(), "l", [], []))]},
        {"functions": [helper.make_function("f", "F", [], ["y"], in_branch(), [helper.make_opsetid("", 17)])]},
        {"nodes": [helper.make_node("Many", [], ["y"], domain="f", all=[outside_tensor()])]},
    ],
    ids=["initializer", "constant", "branch", "loop", "function", "list"],
)
def test_a_file_that_names_other_files_is_refused_wherever_it_does(hidden, tmp_path):
    model = graph(hidden.pop("nodes", []), [], [], **hidden)
    (tmp_path / "m").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match="/etc/passwd"):
        check_artifact(tmp_path / "m", "onnx", allow_pickles=True, max_bytes=10**9)
    with pytest.raises(InvalidInput, match=r"onnx\.load"):
        save_model(model, "onnx", None, tmp_path)


@pytest.mark.parametrize("given", ["", "m.onnx"], ids=["folder", "file"])
def test_a_model_with_its_data_beside_it_becomes_one_file(given, tmp_path):
    weights = numpy_helper.from_array(np.full(400, 3, np.float32), "w")
    model = graph([node("Add", "x w", "y")], [("x", FLOAT, [None, 400])], [("y", FLOAT, [None, 400])], [weights])
    source, target = tmp_path / "given", tmp_path / "made"
    source.mkdir()
    target.mkdir()
    onnx.save(model, source / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    path, framework = save_model(source / given, None, None, target)
    check_artifact(path, framework, allow_pickles=False, max_bytes=10**9)
    answer = adapter_for("onnx").load(path, None, [], 1).predict({"x": np.ones((1, 400), np.float32)})
    assert answer["y"].tolist() == [[4.0] * 400]
    (source / "m.data").unlink()
    with pytest.raises(InvalidInput, match="does not load"):
        save_model(source / given, None, None, target)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (copies(FLOAT), None),
        (graph([node("Identity", "x", "y")], [("x", FLOAT, [None])], [("y", FLOAT, [None])], opset=99),
            r"opset 99, .* up to"),
        (
            graph([node("Foo", "x", "y", domain="my.ops")], [("x", FLOAT, [None])], [("y", FLOAT, [None])], domains=["my.ops"]),
            "my[.]ops:Foo",
        ),
        (graph([node("Nope", "x", "y")], [("x", FLOAT, [None])], [("y", FLOAT, [None])]), "Nope"),
        (graph([node("Identity", "q", "y")], [("x", FLOAT, [None])], [("y", FLOAT, [None])]), "'q'"),
        (graph([node("ReduceMean", "x", "y", keepdims=0)], [("x", FLOAT, [None, 1])], [("y", FLOAT, [])]), "one row in"),
    ],
    ids=["good", "opset", "custom", "unknown", "broken", "scalar"],
)  # fmt: skip
def test_what_onnx_runtime_does_not_take_is_said_in_words(model, words, tmp_path):
    if words is None:
        assert proved(model, tmp_path).served_as == "onnx"
        return
    with pytest.raises(ModelMeshError, match=words) as refused:
        proved(model, tmp_path)
    assert "onnxruntime_src" not in refused.value.detail
    assert "ONNXRuntimeError" not in refused.value.detail
