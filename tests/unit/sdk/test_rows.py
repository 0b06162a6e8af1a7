"""The rows of a registration are limited in bytes."""

import orjson
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.sdk.rows import rows_json


@given(st.lists(st.text(max_size=30), min_size=1, max_size=30), st.integers(1, 500))
def test_the_first_rows_that_fit_are_sent(rows, max_bytes):
    sent = orjson.loads(rows_json(rows, max_bytes))
    assert sent == rows[: len(sent)]
    assert len(sent) == 1 or len(orjson.dumps(sent)) <= max_bytes
    if len(sent) < len(rows):
        assert len(orjson.dumps(rows)) > max_bytes
