"""The model gets the same table that the caller sent, or the caller gets an error that names the value."""

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from modelmesh.models.values.bodies import parse_request
from modelmesh.models.values.inference_tensors import DATATYPE_OF, DATATYPES
from modelmesh.models.values.tables import frame_of
from modelmesh.schemas.errors import InvalidInput
from modelmesh.schemas.payloads.signatures import Signature
from modelmesh.schemas.records import V2_JSON, v2_content_type
from modelmesh.sdk.column_types import signature_of
from modelmesh.sdk.rows import body_of, inputs_of, rows_of

WIDTHS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", "a\0", "null", "NaN", "1", "1.0"]
)


def whole(name):
    limits = np.iinfo(name.lower())
    edges = [limits.min, limits.max, min(2**24 + 1, limits.max), min(2**53 + 1, limits.max)]
    return st.integers(int(limits.min), int(limits.max)) | st.sampled_from(edges)


def floating(width, nan=True):
    return st.floats(width=width, allow_nan=nan, allow_infinity=False) | st.sampled_from([-0.0, 0.0])


def timestamps(unit, zone=None):
    bounds = {"ns": ("1700-01-01", "2250-01-01"), "us": ("0002-01-01", "9998-01-01"), "s": ("0002-01-01", "9998-01-01")}
    low, high = (int(np.datetime64(bound, unit).astype("int64")) for bound in bounds[unit])
    timestamp = st.integers(low, high).map(lambda number: np.datetime64(number, unit)) | st.just(
        np.datetime64("NaT", unit)
    )
    return lambda values: pd.Series(pd.DatetimeIndex(np.array(values, f"M8[{unit}]"))).dt.tz_localize(zone), timestamp


def series(dtype):
    return lambda values: pd.Series(values, dtype=dtype)


def categories(known):
    """Training data had at least one value."""
    return lambda values: pd.Series([known, *values], dtype="category")[1:].reset_index(drop=True)


KINDS = {
    **{name: (series(name), whole(name)) for name in WIDTHS},
    **{name.title().replace("Ui", "UI"): None for name in WIDTHS},
    "float64": (series("float64"), floating(64)),
    "float32": (series("float32"), floating(32)),
    "bool": (series("bool"), st.booleans()),
    "boolean": (series("boolean"), st.booleans() | st.none()),
    "Float64": (series("Float64"), floating(64, nan=False) | st.none()),
    "str": (series("str"), TEXT | st.none()),
    "string": (series("string"), TEXT | st.none()),
    "text objects": (series(object), TEXT | st.none()),
    "mixed objects": (series(object), TEXT | st.booleans() | st.integers(-(2**63), 2**63) | st.none()),
    "category": (categories("a"), TEXT | st.none()),
    "category of numbers": (categories(0), st.integers(-5, 5) | st.none()),
    "timestamps ns": timestamps("ns"),
    "timestamps us": timestamps("us"),
    "timestamps s": timestamps("s"),
    "zoned": timestamps("ns", "UTC"),
}
for nullable in [name for name, kind in KINDS.items() if kind is None]:
    KINDS[nullable] = (series(nullable), whole(nullable) | st.none())


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 4))
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=5))
    columns = {}
    for place, kind in enumerate(kinds):
        make, values = KINDS[kind]
        columns[f"{kind} {place}"] = make(draw(st.lists(values, min_size=rows, max_size=rows)))
    return pd.DataFrame(columns)


def signed(table):
    """Return the signature of a model that was trained on the table, and takes missing values in each column."""
    found = signature_of(table)
    return Signature(inputs=tuple(spec.model_copy(update={"missing": True}) for spec in found.inputs))


def v2_body(table, signature, binary):
    """Write the table as a client of the protocol does: each column a tensor of its own type."""
    described, raw = [], b""
    for spec, column in zip(
        signature.inputs, zip(*[list(row.values()) for row in rows_of(table)], strict=True), strict=True
    ):
        values, datatype = orjson.loads(body_of(list(column)))["inputs"], DATATYPE_OF[spec.dtype]
        tensor = {"name": spec.name, "shape": [len(values)], "datatype": datatype}
        if binary and datatype == "BYTES" and all(isinstance(value, str) for value in values):
            data = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in values)
        elif (binary and datatype.startswith("FP")) or (binary and datatype != "BYTES" and None not in values):
            data = np.array(values, DATATYPES[datatype]).tobytes()
        else:
            described.append(tensor | {"data": values})
            continue
        described.append(tensor | {"parameters": {"binary_data_size": len(data)}})
        raw += data
    header = orjson.dumps({"inputs": described})
    return (header + raw, v2_content_type(len(header))) if binary else (header, V2_JSON)


def seen_by_the_model(body, kind, signature):
    tensors = parse_request(body, kind, signature).tensors
    return frame_of(tensors, signature.inputs, [spec.name for spec in signature.inputs])


@pytest.mark.parametrize("protocol", ["json", "v2", "v2 binary"])
@given(table=tables())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_table_that_reaches_the_model_is_the_callers(protocol, table):
    signature = signed(table)
    if protocol == "json":
        body, kind = body_of(inputs_of(table)), "application/json"
    else:
        # That protocol has no type for a column of values of any type.
        assume(not any(spec.dtype == "object" for spec in signature.inputs))
        body, kind = v2_body(table, signature, protocol == "v2 binary")
    found = seen_by_the_model(body, kind, signature)
    pd.testing.assert_frame_equal(found, table, check_exact=True, check_categorical=True)
    for name in table:
        if table[name].dtype in (np.float32, np.float64):
            known = table[name].notna()  # the sign of NaN does not matter
            np.testing.assert_array_equal(np.signbit(found[name][known]), np.signbit(table[name][known]))


JSON_VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floating(64, nan=False) | TEXT


@given(table=tables(), value=JSON_VALUES, missing=st.booleans())
@settings(max_examples=120, deadline=None, derandomize=True)
def test_any_other_value_is_itself_there_or_is_refused_by_its_place(table, value, missing):
    signature = signed(table)
    first = signature.inputs[0].model_copy(update={"missing": missing})
    signature = Signature(inputs=(first, *signature.inputs[1:]))
    rows = orjson.loads(body_of(inputs_of(table)))["inputs"]
    assume(missing or all(row[first.name] is not None for row in rows))
    rows.append(rows[0] | {first.name: value})
    try:
        found = seen_by_the_model(orjson.dumps({"inputs": rows}), "application/json", signature)
    except InvalidInput as error:
        assert error.field == first.name
        assert f"row {len(rows) - 1}: {first.name}:" in error.detail
        return
    last = found[first.name].iloc[-1]
    if value is None:
        assert missing
        assert pd.isna(last)
    elif first.dtype == "datetime":
        assert str(last)[:10] == str(value)[:10]
    elif first.dtype == "float32":
        assert last == np.float32(value)
    elif first.dtype.startswith("float"):
        assert last == float(value)
    else:
        assert last == value
        assert isinstance(last, bool | np.bool_) == isinstance(value, bool)
