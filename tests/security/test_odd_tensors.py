"""A body that nobody thought of is its caller's error: it is answered, and never becomes a dead letter."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.models.values.bodies import parse_request
from modelmesh.schemas.errors import InvalidInput, MalformedRequest
from modelmesh.schemas.records import JSON, v2_content_type

from ..unit.releases import SIGNATURE

SIZES = st.one_of(st.integers(0, 3), st.sampled_from([2**31, 2**63, 2**64 - 1, -1]))
VALUES = st.one_of(
    st.integers(-2, 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.none(), st.booleans()
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.text(),
        "datatype": st.sampled_from(["FP64", "FP16", "INT8", "UINT64", "BOOL", "BYTES", "x"]),
        "shape": st.one_of(st.lists(SIZES, max_size=70), st.integers(0, 80).map(lambda n: [1] * n)),
    },
    optional={
        "data": st.recursive(VALUES, lambda inner: st.lists(inner, max_size=4), max_leaves=12),
        "parameters": st.fixed_dictionaries({"binary_data_size": st.one_of(st.integers(-1, 64), st.text())}),
    },
)


@pytest.mark.parametrize("datatype", ["FP64", "BYTES"])
@pytest.mark.parametrize("dimensions", [65, 100, 10_000])
def test_more_dimensions_than_an_array_has_are_refused_by_name(dimensions, datatype):
    value = 1.0 if datatype == "FP64" else "x"
    for data in ({"data": [value]}, {"parameters": {"binary_data_size": 8}}):
        tensor = {"name": "x", "datatype": datatype, "shape": [1] * dimensions, **data}
        head = orjson.dumps({"inputs": [tensor]})
        body, kind = (head, v2_content_type(None)) if "data" in data else (head + bytes(8), v2_content_type(len(head)))
        with pytest.raises(InvalidInput, match="dimensions") as refused:
            parse_request(body, kind, SIGNATURE)
        assert refused.value.field == "x"


def test_rows_without_values_are_no_more_than_rows_with_some():
    tensor = {"name": "x", "datatype": "FP64", "shape": [2**40, 0], "data": []}
    with pytest.raises(InvalidInput, match="65536"):
        parse_request(orjson.dumps({"inputs": [tensor]}), v2_content_type(None), SIGNATURE)


def test_a_fault_of_our_own_in_reading_is_answered(monkeypatch):
    def broken(*arguments):
        raise ValueError("nobody thought of this")

    monkeypatch.setattr("modelmesh.models.values.bodies.parse_body", broken)
    with pytest.raises(MalformedRequest, match="nobody thought of this"):
        parse_request(b"{}", JSON, SIGNATURE)


@settings(max_examples=300, derandomize=True)
@given(st.lists(TENSORS, max_size=3), st.binary(max_size=80), st.booleans())
def test_any_tensors_are_read_or_refused(tensors, raw, binary):
    head = orjson.dumps({"inputs": tensors})
    kind = v2_content_type(len(head)) if binary else v2_content_type(None)
    try:
        parse_request(head + raw if binary else head, kind, SIGNATURE)
    except (InvalidInput, MalformedRequest) as error:
        assert error.detail


@settings(max_examples=200, derandomize=True)
@given(
    st.recursive(
        VALUES, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=3))
    )
)
def test_any_inputs_are_read_or_refused(inputs):
    try:
        parse_request(orjson.dumps({"inputs": inputs}), JSON, SIGNATURE)
    except (InvalidInput, MalformedRequest) as error:
        assert error.detail
