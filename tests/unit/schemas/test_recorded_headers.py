"""Compatibility with recorded headers: they are read, and written in the same order with the same bytes.

recorded/headers.json was written by older code. It must not be generated again; only the names of attributes in `fields` follow
the code.
"""

import json
from pathlib import Path

import pytest
from modelmesh.schemas.payloads.dead_letters import dead_letter
from modelmesh.schemas.records import PredictionRequest, Reply

RECORDED = json.loads((Path(__file__).parent / "recorded" / "headers.json").read_text())
ROUNDED = ("deadline", "seconds")
KINDS = {"request": PredictionRequest, "reply": Reply}


def of_kinds(*kinds):
    return [
        pytest.param(KINDS[one["kind"]], one["fields"], [(name, text.encode()) for name, text in one["headers"]])
        for one in RECORDED
        if one["kind"] in kinds
    ]


def test_every_header_is_recorded():
    assert len({name for one in RECORDED for name, _ in one["headers"]}) == 34


@pytest.mark.parametrize(("kind", "fields", "headers"), of_kinds("request", "reply"))
def test_headers_are_written_as_recorded(kind, fields, headers):
    assert kind(body=b"{}", **fields).headers() == headers


@pytest.mark.parametrize(("kind", "fields", "headers"), of_kinds("request", "reply"))
def test_headers_are_read_as_recorded(kind, fields, headers):
    read = kind.from_record([("somebody's", b"\xff"), *headers], b"{}")
    assert read.body == b"{}"
    for name, value in fields.items():
        if (name, value) != (
            "content_type",
            "application/x-other",
        ):  # an error is a problem document, whatever its content type
            assert getattr(read, name) == (pytest.approx(value, abs=0.001) if name in ROUNDED else value)
    left = {name for name in kind.__dataclass_fields__ if name not in {*fields, "body"}}
    made = kind(body=b"{}", **fields)
    assert all(getattr(read, name) == getattr(made, name) for name in left)


def test_a_dead_letter_is_written_as_recorded():
    [one] = [one for one in RECORDED if one["kind"] == "dead letter"]
    _, headers = dead_letter(
        [("mm-id", b"r"), ("mm-redrives", b"1")],
        b"x" * 20,
        max_bytes=10,
        reason="it is not JSON",
        source="modelmesh.requests/0/7",
        key=b"k",
        stack="Traceback",
    )
    assert [[name, value.decode()] for name, value in headers] == one["headers"]
