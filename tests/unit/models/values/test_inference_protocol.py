"""Tensors of the Open Inference Protocol are the same from JSON and from bytes, and errors name what does not fit."""

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from modelmesh.models.values.inference_protocol import read_request, write_response
from modelmesh.models.values.inference_tensors import DATATYPES
from modelmesh.schemas.errors import InvalidInput, MalformedRequest, ModelMeshError
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

TABLE = Signature(
    inputs=(TensorSpec(name="amount", dtype="float64"), TensorSpec(name="merchant", dtype="string")),
    outputs=(TensorSpec(name="label", dtype="int64"),),
)
IMAGE = Signature(inputs=(TensorSpec(name="image", dtype="float32", shape=(-1, 2, 3)),))
NUMBERS = {
    "FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "INT32": np.int32, "INT8": np.int8, "UINT16": np.uint16
}  # fmt: skip


def tensor(name, shape, datatype, data=None, **parameters):
    found = {"name": name, "shape": shape, "datatype": datatype}
    if data is not None:
        found["data"] = data
    return found | ({"parameters": parameters} if parameters else {})


def body(*tensors, **more):
    return orjson.dumps({"inputs": list(tensors), **more})


def with_raw(header, *parts):
    return header + b"".join(parts), len(header)


def test_a_table_is_read_in_the_signatures_order():
    tensors, rows, wanted = read_request(
        body(
            tensor("merchant", [2, 1], "BYTES", ["Acme", "Globex"]),
            tensor("amount", [2], "FP64", [1.5, 2]),
            id="42",
            outputs=[{"name": "label", "parameters": {"binary_data": True}}],
        ),
        None,
        TABLE,
    )
    assert list(tensors) == ["amount", "merchant"]
    assert rows == 2
    assert tensors["merchant"].tolist() == ["Acme", "Globex"]
    assert (wanted.id, wanted.outputs, wanted.binary) == ("42", ("label",), {"label"})


@given(
    st.sampled_from(sorted(NUMBERS)).flatmap(
        lambda name: st.tuples(
            st.just(name),
            arrays.arrays(
                NUMBERS[name],
                st.tuples(st.integers(1, 4), st.integers(1, 3)),
                elements={"allow_nan": False, "allow_infinity": False} if name.startswith("FP") else None,
            ),
        )
    )
)
def test_bytes_and_json_give_the_same_tensor_and_come_back_the_same(found):
    datatype, array = found
    dtype = {"FP64": "float64", "FP32": "float32"}.get(datatype, "int64")
    signature = Signature(inputs=(TensorSpec(name="x", dtype=dtype, shape=(-1, array.shape[1])),))
    plain = body(tensor("x", list(array.shape), datatype, array.ravel().tolist()))
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
    header = body(
        tensor("x", list(array.shape), datatype, binary_data_size=len(raw)), parameters={"binary_data_output": True}
    )
    one, rows, _ = read_request(plain, None, signature)
    other, _, wanted = read_request(*with_raw(header, raw), signature)
    assert rows == len(array)
    assert np.array_equal(one["x"], other["x"])
    assert np.array_equal(one["x"], array)
    answer, header_bytes = write_response("m", "1.0.0", other, 0, len(array), wanted)
    document = orjson.loads(answer[:header_bytes])
    (output,) = document["outputs"]
    came_back = np.frombuffer(answer[header_bytes:], np.dtype(DATATYPES[output["datatype"]]).newbyteorder("<"))
    assert output["parameters"]["binary_data_size"] == came_back.nbytes
    assert np.array_equal(came_back.reshape(output["shape"]), array)


@given(st.lists(st.text(max_size=8), min_size=1, max_size=5))
def test_texts_survive_both_ways(texts):
    signature = Signature(inputs=(TensorSpec(name="t", dtype="string"),))
    encoded = [text.encode(errors="surrogatepass") for text in texts]
    raw = b"".join(len(each).to_bytes(4, "little") + each for each in encoded)
    header = body(
        tensor("t", [len(texts)], "BYTES", binary_data_size=len(raw)), parameters={"binary_data_output": True}
    )
    tensors, _, wanted = read_request(*with_raw(header, raw), signature)
    assert tensors["t"].tolist() == texts
    answer, header_bytes = write_response("m", "1", tensors, 0, len(texts), wanted)
    assert answer[header_bytes:] == raw


def test_each_request_gets_its_own_rows_and_only_what_it_wants():
    outputs = {"a": np.arange(6.0).reshape(3, 2), "b": np.array(["x", "y", "z"], dtype=object)}
    _, _, wanted = read_request(body(tensor("image", [1, 2, 3], "FP32", [0] * 6), outputs=[{"name": "b"}]), None, IMAGE)
    answer, header_bytes = write_response("m", "1.0.0", outputs, 1, 3, wanted)
    assert header_bytes is None
    assert orjson.loads(answer)["outputs"] == [{"name": "b", "datatype": "BYTES", "shape": [2], "data": ["y", "z"]}]


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"{", MalformedRequest, "JSON"),
        (b"[]", MalformedRequest, "inputs"),
        (body(), MalformedRequest, "inputs"),
        (body(1), MalformedRequest, "not a tensor"),
        (body(tensor("image", [1, 2, 3], "FP12", [0] * 6)), MalformedRequest, "datatype"),
        (body(tensor("image", "x", "FP32", [0] * 6)), MalformedRequest, "shape"),
        (body(tensor("image", [1, -2, 3], "FP32", [0] * 6)), MalformedRequest, "shape"),
        (body(tensor("image", [1, 2, 3], "FP32")), MalformedRequest, "neither data"),
        (
            body(*[tensor(name, [1, 2, 3], "FP32", [0] * 6) for name in ("image", "picture")]),
            InvalidInput,
            "takes image",
        ),
        (body(*[tensor("image", [1, 2, 3], "FP32", [0] * 6)] * 2), InvalidInput, "twice"),
        (body(tensor("image", [1, 2, 3], "FP32", [0] * 5)), InvalidInput, "6 values, found 5"),
        (body(tensor("image", [1, 3, 2], "FP32", [0] * 6)), InvalidInput, "shape"),
        (body(tensor("image", [0, 2, 3], "FP32", [])), InvalidInput, "no rows"),
        (body(tensor("image", [1, 2, 3], "INT64", [0] * 6)), InvalidInput, "FP32"),
        (body(tensor("image", [1, 2, 3], "BYTES", ["a"] * 6)), InvalidInput, "FP32"),
        (body(tensor("image", [1, 2, 3], "FP32", ["a"] * 6)), InvalidInput, "not all FP32"),
        (body(tensor("image", [1, 2, 3], "FP32", [True] * 6)), InvalidInput, "not all FP32"),
        (body(tensor("image", [1, 2, 3], "FP64", [1e300] * 6)), InvalidInput, "too large"),
        (body(tensor("image", [1, 2, 3], "UINT8", [300] * 6)), InvalidInput, "too large|not all"),
        (body(tensor("image", [1, 2, 3], "FP32", [0] * 6), outputs=[1]), MalformedRequest, "outputs"),
    ],
)
def test_what_does_not_fit_is_named(content, kind, says):
    with pytest.raises(kind, match=says):
        read_request(content, None, IMAGE)


def test_an_unknown_output_is_named():
    with pytest.raises(InvalidInput, match="gives label"):
        read_request(
            body(
                tensor("amount", [1], "FP64", [1]), tensor("merchant", [1], "BYTES", ["a"]), outputs=[{"name": "score"}]
            ),
            None,
            TABLE,
        )


@given(st.data())
def test_bytes_that_were_cut_or_lengthened_never_pass(data):
    raw = np.arange(6, dtype="<f4").tobytes()
    whole, header_bytes = with_raw(body(tensor("image", [1, 2, 3], "FP32", binary_data_size=len(raw))), raw)
    read_request(whole, header_bytes, IMAGE)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ModelMeshError):
        read_request(whole[:cut], header_bytes, IMAGE)
    with pytest.raises(ModelMeshError):
        read_request(whole + b"x", header_bytes, IMAGE)
    other = data.draw(st.integers(0, 2 * len(whole)).filter(lambda length: length != header_bytes))
    with pytest.raises(ModelMeshError):
        read_request(whole, other, IMAGE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "inputs", "outputs"]), inner
        )
    ),
    max_leaves=12,
)


@given(json_values, st.none() | st.integers(0, 200), st.binary(max_size=20))
def test_whatever_is_sent_is_read_or_refused(document, header_bytes, raw):
    for signature in (TABLE, IMAGE):
        try:
            read_request(orjson.dumps(document) + raw, header_bytes, signature)
        except ModelMeshError as error:
            assert error.status in (400, 422)


def test_the_one_input_of_a_model_may_have_any_name():
    tensors, rows, _ = read_request(body(tensor("input-0", [1, 2, 3], "FP32", [0] * 6)), None, IMAGE)
    assert rows == 1
    assert list(tensors) == ["image"]


def test_null_is_a_missing_value_where_the_model_takes_one():
    for missing in (True, False):
        for name, datatype, value in (("string", "BYTES", "a"), ("float64", "FP64", 1.5), ("int64", "INT64", 1)):
            signature = Signature(inputs=(TensorSpec(name="x", dtype=name, missing=missing),))
            request = body(tensor("x", [2], datatype, [value, None]))
            if missing:
                tensors, _, _ = read_request(request, None, signature)
                first, second = tensors["x"].tolist()
                assert first == value
                assert second is None or second != second
            else:
                with pytest.raises(InvalidInput, match=r"row 1: x: .* takes no missing value, found null"):
                    read_request(request, None, signature)


def test_whole_numbers_in_another_type_are_taken_where_they_fit():
    signature = Signature(inputs=(TensorSpec(name="x", dtype="int32"),))
    tensors, _, _ = read_request(body(tensor("x", [2], "FP64", [1.0, -2.0])), None, signature)
    assert tensors["x"].dtype == np.int32
    assert tensors["x"].tolist() == [1, -2]
    for value in (1.5, 2.0**31):
        with pytest.raises(InvalidInput, match="row 1: x"):
            read_request(body(tensor("x", [2], "FP64", [1.0, value])), None, signature)
