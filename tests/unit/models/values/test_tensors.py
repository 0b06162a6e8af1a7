import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.models.values.outputs import write_outputs
from modelmesh.models.values.tensors import parse_body, read_inputs, stack
from modelmesh.schemas.errors import InvalidInput, MalformedRequest
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

TABLE = Signature(
    inputs=(
        TensorSpec(name="amount", dtype="float64"),
        TensorSpec(name="merchant", dtype="string"),
        TensorSpec(name="known", dtype="bool"),
    )
)
MATRIX = Signature(inputs=(TensorSpec(name="inputs", dtype="float64", shape=(-1, 3)),))
IMAGE = Signature(inputs=(TensorSpec(name="pixels", dtype="float32", shape=(-1, 1, 2, 2)),))
COUNTS = Signature(inputs=(TensorSpec(name="n", dtype="int32", shape=(-1, 2)),))


@pytest.mark.parametrize(
    ("inputs", "signature", "rows"),
    [
        ([1, 2.5, 3], MATRIX, 1),
        ([[1, 2, 3], [4, 5, 6]], MATRIX, 2),
        ({"inputs": [1, 2, 3]}, MATRIX, 1),
        ({"amount": 200, "merchant": "Acme", "known": True}, TABLE, 1),
        ([{"merchant": "Acme", "amount": 200, "known": True}] * 3, TABLE, 3),
        ([200, "Acme", False], TABLE, 1),
        ([[200, "Acme", False], [1.5, "", True]], TABLE, 2),
        ([[[1, 2], [3, 4]]], IMAGE, 1),
        ([[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]], IMAGE, 2),
        ([1, 2.0], COUNTS, 1),
    ],
)
def test_every_form_of_inputs_is_read(inputs, signature, rows):
    tensors, found = read_inputs(inputs, signature)
    assert found == rows
    for spec in signature.inputs:
        assert tensors[spec.name].shape == (rows, *spec.row_shape)
        if spec.dtype != "string":
            assert tensors[spec.name].dtype == spec.dtype


@pytest.mark.parametrize(
    ("inputs", "signature", "field", "words"),
    [
        ([1, 2], MATRIX, "inputs", "3 features are expected, found 2"),
        ([[1, 2, 3], [1, 2]], MATRIX, "inputs", "differ in shape"),
        ([1, "two", 3], MATRIX, "inputs[1]", 'a number is expected, found "two"'),
        ([1, None, 3], MATRIX, "inputs[1]", "found null"),
        ([1, True, "x"], MATRIX, "inputs[1]", "found true"),
        (["1", "2", "3"], MATRIX, "inputs[0]", "a number is expected"),
        ("text", MATRIX, "inputs", "must be a list"),
        ([], MATRIX, "inputs", "no rows"),
        ([[[1, 2, 3]]], MATRIX, "inputs", "dimensions"),
        ({"amount": 1, "merchant": "a"}, TABLE, "known", "missing: known"),
        ({"amount": 1, "merchant": "a", "known": True, "x": 1}, TABLE, "x", "unknown: x"),
        ({"amount": "1", "merchant": "a", "known": True}, TABLE, "amount", "a number is expected"),
        ({"amount": 1, "merchant": 2, "known": True}, TABLE, "merchant", "a string is expected"),
        ({"amount": 1, "merchant": "a", "known": 1}, TABLE, "known", "a bool is expected"),
        ({"amount": [1], "merchant": "a", "known": True}, TABLE, "amount", "shape"),
        ([1, "a"], TABLE, "inputs", "3 features are expected, found 2"),
        ([{"amount": 1, "merchant": "a", "known": True}, 3], TABLE, "inputs", "row 1"),
        ([1.5, 2], COUNTS, "n[0]", "a whole number is expected, found 1.5"),
        ([2**40, 2], COUNTS, "n[0]", "too large"),
        ([[[1, 1e39], [3, 4]]], IMAGE, "pixels[1]", "too large"),
    ],
)
def test_what_does_not_fit_is_named(inputs, signature, field, words):
    with pytest.raises(InvalidInput) as caught:
        read_inputs(inputs, signature)
    assert words in caught.value.detail
    assert caught.value.field == field


@pytest.mark.parametrize(
    "body", [b"{", b"", b"[1]", b'{"rows": []}', b'{"inputs": [NaN]}', b'{"inputs": [Infinity]}', b"\xff"]
)
def test_broken_json_is_a_malformed_request(body):
    with pytest.raises(MalformedRequest):
        parse_body(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["amount", "merchant", "known", "inputs"]), inner)
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from([TABLE, MATRIX, IMAGE, COUNTS]))
def test_any_json_is_read_or_refused_and_never_guessed(value, signature):
    try:
        tensors, rows = read_inputs(value, signature)
    except InvalidInput as error:
        assert error.field is not None
        return
    assert all(len(array) == rows > 0 for array in tensors.values())
    assert all(np.isfinite(array).all() for array in tensors.values() if array.dtype.kind == "f")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_rows_of_a_batch_come_back_to_their_request(sizes):
    parts, count = [], 0
    for size in sizes:
        parts.append({"x": np.arange(count, count + size, dtype=np.float64)})
        count += size
    outputs = {"y": stack(parts)["x"] * 2, "name": stack(parts)["x"].astype(str).astype(object)}
    begin = 0
    for part in parts:
        end = begin + len(part["x"])
        answer = orjson.loads(write_outputs("m", "1.0.0", outputs, begin, end))
        assert answer["outputs"]["y"] == (part["x"] * 2).tolist()
        assert answer["outputs"]["name"] == part["x"].astype(str).tolist()
        begin = end


def test_float32_is_written_as_short_as_it_is():
    body = write_outputs("m", "1.0.0", {"p": np.array([[0.1, 0.9]], dtype=np.float32)}, 0, 1)
    assert json.loads(body)["outputs"] == {"p": [[0.1, 0.9]]}
