"""Rows on their way into a registration."""

import orjson
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.sdk.rows import rows_json


@given(st.lists(st.text(max_size=30), min_size=1, max_size=30), st.integers(1, 500))
def test_of_rows_that_are_too_large_together_the_first_are_sent(rows, most):
    sent = orjson.loads(rows_json(rows, most))
    assert sent == rows[: len(sent)]
    assert len(sent) == 1 or len(orjson.dumps(sent)) <= most
    if len(sent) < len(rows):
        assert len(orjson.dumps(rows)) > most
