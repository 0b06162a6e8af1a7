"""ONNX files that name other files, or hold what nobody knows: refused by our own check, whatever ONNX Runtime would do."""

import numpy as np
import onnx
import pytest
from modelmesh.models.artifacts.check import check_artifact
from modelmesh.models.artifacts.onnx_check import check_beside, messages
from modelmesh.schemas.errors import InvalidInput
from modelmesh.sdk.model_file import save_model
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
TRUE = numpy_helper.from_array(np.array(True), "true")
W = helper.make_tensor_value_info("w", FLOAT, [4])
INNER = helper.make_tensor_value_info("inner", FLOAT, [4])
PLACES = ("/etc/passwd", "../secret.bin", "a/../../secret.bin", "secret.bin", "*/_ORT_MEM_ADDR_/*", "")


def outside(name="inner", place="../secret.bin", data_location=TensorProto.EXTERNAL):
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[4], data_location=data_location)
    tensor.external_data.add(key="location", value=place)
    return tensor


def sparse(values, indices=None):
    found = onnx.SparseTensorProto(dims=[4])
    found.values.CopyFrom(values)
    found.indices.CopyFrom(indices or numpy_helper.from_array(np.arange(4), "places"))
    return found


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def body(nodes, initializers=(), inputs=(), outputs=(INNER,)):
    return helper.make_graph(list(nodes), "body", list(inputs), list(outputs), list(initializers))


def constant(**value):
    return node("Constant", "", "inner", **value)


def branching(branch):
    return node("If", "true", "w", then_branch=branch, else_branch=branch)


def model(*nodes, initializers=(), functions=(), sparse_initializers=(), domains=()):
    """Return y = x + w, where the nodes, or an initializer, give w."""
    graph = helper.make_graph(
        [*nodes, node("Add", "x w", "y")],
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", FLOAT, [None, 4])],
        [*initializers, TRUE],
        sparse_initializer=list(sparse_initializers),
    )
    imports = [helper.make_opsetid(domain, 1) for domain in {*domains, *(each.domain for each in functions)}]
    return helper.make_model(
        graph, functions=list(functions), opset_imports=[helper.make_opsetid("", 18), *imports], ir_version=10
    )


def function(nodes, name="F", attributes=(), defaults=()):
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, [], ["w"], list(nodes), imports, list(attributes), list(defaults))


def call(name="F"):
    return helper.make_node(name, [], ["w"], domain="mine")


def with_training(tensor):
    found = model(initializers=[numpy_helper.from_array(np.ones(4, np.float32), "w")])
    found.training_info.add().initialization.CopyFrom(body([node("Identity", "inner", "w")], [tensor]))
    return found


def nested(depth, inner):
    """Return a graph within a graph, so many deep."""
    for _ in range(depth):
        inner = body([node("If", "true", "inner", then_branch=inner, else_branch=inner)])
    return inner


HIDDEN = {
    "initializer": lambda t: model(initializers=[t("w")]),
    "constant": lambda t: model(node("Constant", "", "w", value=t())),
    "another attribute": lambda t: model(node("ConstantOfShape", "true", "w", value=t())),
    "list of tensors": lambda t: model(node("Constant", "", "w", values=[t()])),
    "sparse initializer": lambda t: model(sparse_initializers=[sparse(t("w"))]),
    "sparse places": lambda t: model(sparse_initializers=[sparse(numpy_helper.from_array(np.ones(4)), t())]),
    "sparse constant": lambda t: model(node("Constant", "", "w", sparse_value=sparse(t()))),
    "if": lambda t: model(branching(body([constant(value=t())]))),
    "if, initializer": lambda t: model(branching(body([node("Identity", "i", "inner")], [t("i")]))),
    "if in if": lambda t: model(branching(nested(10, body([constant(value=t())])))),
    "loop": lambda t: model(node("Loop", "true true", "w", body=body([constant(value=t())]))),
    "scan": lambda t: model(node("Scan", "true", "w", body=body([constant(value=t())]), num_scan_inputs=1)),
    "function": lambda t: model(call(), functions=[function([node("Constant", "", "w", value=t())])]),
    "if in function": lambda t: model(call(), functions=[function([branching(body([constant(value=t())]))])]),
    "a function's default": lambda t: model(
        call(), functions=[function([node("Identity", "w", "w")], defaults=[helper.make_attribute("a", t())])]
    ),
    "function that nobody calls": lambda t: model(
        node("Identity", "x", "w"), functions=[function([node("Constant", "", "w", value=t())])]
    ),
    "training": lambda t: with_training(t()),
}


def written(path, model):
    path.write_bytes(model.SerializeToString())
    return path


def refused(path):
    with pytest.raises(InvalidInput) as error:
        check_artifact(path, "onnx", allow_pickles=True, max_bytes=2**30)
    assert error.value.field == "artifact"
    return error.value.detail


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_numbers_in_another_file_are_refused_wherever_they_are_named(hidden, place, tmp_path):
    made = HIDDEN[hidden](lambda name="inner": outside(name, place))
    assert repr(place) in refused(written(tmp_path / "m.onnx", made))


@pytest.mark.parametrize("hidden", HIDDEN)
def test_also_where_the_tensor_says_that_they_lie_within(hidden, tmp_path):
    made = HIDDEN[hidden](lambda name="inner": outside(name, "../secret.bin", TensorProto.DEFAULT))
    assert "another file" in refused(written(tmp_path / "m.onnx", made))


def test_each_field_that_can_hold_a_tensor_is_looked_into():
    """Of the format itself, not of a list of ours: the walk goes through every field of every message."""
    fields = [
        (message, field)
        for message in (getattr(onnx, name) for name in dir(onnx) if name.endswith("Proto"))
        for field in getattr(getattr(message, "DESCRIPTOR", None), "fields", ())
        if field.message_type is not None and field.message_type.name == "TensorProto"
    ]
    assert len(fields) >= 6
    for message, field in fields:
        made, tensor = message(), outside()
        holder = getattr(made, field.name)
        holder.add().CopyFrom(tensor) if hasattr(holder, "add") else holder.CopyFrom(tensor)
        assert tensor in list(messages(made)), (message, field.name)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            model(helper.make_node("Run", [], ["w"], domain="ai.onnx.contrib"), domains=["ai.onnx.contrib"]),
            "contrib:Run",
        ),
        (model(helper.make_node("PyOp", [], ["w"], domain="com.microsoft"), domains=["com.microsoft"]), "PyOp"),
        (
            model(helper.make_node("EPContext", [], ["w"], domain="com.microsoft"), domains=["com.microsoft"]),
            "EPContext",
        ),
        (model(branching(body([helper.make_node("X", [], ["inner"], domain="d")])), domains=["d"]), "d:X"),
        (model(node("NoSuchOperator", "", "w")), "ai.onnx:NoSuchOperator"),
        (model(call(), functions=[function([call("G")]), function([call()], "G")]), "calls itself"),
        (
            model(
                call("F9"),
                functions=[function([call(f"F{n - 1}")] * 9 if n else [constant()], f"F{n}") for n in range(10)],
            ),
            "once its functions are inlined",
        ),
        (
            model(functions=[helper.make_function("", "Add", ["x", "w"], ["y"], [], [helper.make_opsetid("", 18)])]),
            "for standard operators",
        ),
        (onnx.ModelProto(), "no graph"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_known_is_refused_in_words(made, words, tmp_path):
    assert words in refused(written(tmp_path / "m.onnx", made))


def test_fields_that_are_not_known_are_refused_at_any_depth(tmp_path):
    unknown = b"\xba\x3e\x05later"  # field 999 of whatever message they stand in, five bytes long
    good = model(initializers=[numpy_helper.from_array(np.ones(4, np.float32), "w")])
    (tmp_path / "m.onnx").write_bytes(good.SerializeToString() + unknown)
    assert "field 999 in a ModelProto" in refused(tmp_path / "m.onnx")
    branch = body([constant(value_float=1.0)])
    deep = model(branching(branch))
    at = deep.graph.node[0].attribute[0].g.node[0]
    at.ParseFromString(at.SerializeToString() + unknown)
    assert "field 999 in a NodeProto" in refused(written(tmp_path / "m.onnx", deep))


@pytest.mark.parametrize("data", [b"", b"\x80\x04N.", b"cposix\nsystem\n.", b"PK\x03\x04", b"ORTM" * 20])
def test_what_is_another_format_is_refused(data, tmp_path):
    (tmp_path / "m.onnx").write_bytes(data)
    assert "not an ONNX model" in refused(tmp_path / "m.onnx")


def test_good_models_are_taken(tmp_path):
    ones = numpy_helper.from_array(np.ones(4, np.float32), "w")
    for made in (
        model(initializers=[ones]),
        model(branching(body([constant(value=ones)]))),
        model(call(), functions=[function([node("Constant", "", "w", value=ones)])]),
        model(helper.make_node("FastGelu", ["x"], ["w"], domain="com.microsoft"), domains=["com.microsoft"]),
    ):
        check_artifact(written(tmp_path / "m.onnx", made), "onnx", allow_pickles=False, max_bytes=2**30)


@pytest.mark.parametrize("how", ["absolute", "up", "link", "link to a folder", "second name"])
def test_a_folder_that_is_handed_over_takes_no_file_from_elsewhere(how, tmp_path):
    """On the caller's side: a model from somebody else must not send the caller's files to the service."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.arange(4, dtype=np.float32).tobytes())
    folder, made = tmp_path / "given", tmp_path / "made"
    folder.mkdir()
    made.mkdir()
    place = {"absolute": str(secret), "up": "../secret.bin", "link to a folder": "in/secret.bin"}.get(how, "w.bin")
    if how == "link":
        (folder / "w.bin").symlink_to(secret)
    if how == "link to a folder":
        (folder / "in").symlink_to(tmp_path)
    if how == "second name":
        (folder / "w.bin").hardlink_to(secret)
    path = written(folder / "m.onnx", model(branching(body([constant(value=outside(place=place))]))))
    with pytest.raises(InvalidInput, match=r"not within the model's folder|is a link") as error:
        save_model(folder, None, None, made)
    assert error.value.field == "model_object"
    assert not list(made.iterdir())
    plain = onnx.load(path, load_external_data=False)
    with pytest.raises(InvalidInput):
        check_beside(plain, folder)
