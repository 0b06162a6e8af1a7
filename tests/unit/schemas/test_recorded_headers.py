"""Headers of records that lie on logs are read, and written byte by byte as they were, in the same order.

recorded/headers.json was written once, by the code that named each header where it read and where it wrote it. It is never
written again.
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


def test_every_header_that_there_was_is_recorded():
    assert len({name for one in RECORDED for name, _ in one["headers"]}) == 34


@pytest.mark.parametrize(("kind", "fields", "headers"), of_kinds("request", "reply"))
def test_headers_are_written_as_they_were(kind, fields, headers):
    assert kind(body=b"{}", **fields).headers() == headers


@pytest.mark.parametrize(("kind", "fields", "headers"), of_kinds("request", "reply"))
def test_headers_are_read_as_they_were(kind, fields, headers):
    read = kind.from_record([("somebody's", b"\xff"), *headers], b"{}")
    assert read.body == b"{}"
    for name, value in fields.items():
        if (name, value) != (
            "content_type",
            "application/x-other",
        ):  # an error is a problem document, whatever was asked
            assert getattr(read, name) == (pytest.approx(value, abs=0.001) if name in ROUNDED else value)
    left = {name for name in kind.__dataclass_fields__ if name not in {*fields, "body"}}
    made = kind(body=b"{}", **fields)
    assert all(getattr(read, name) == getattr(made, name) for name in left)


def test_a_dead_letter_says_what_it_said():
    [one] = [one for one in RECORDED if one["kind"] == "dead letter"]
    _, headers = dead_letter(
        [("mm-id", b"r"), ("mm-redrives", b"1")],
        b"x" * 20,
        whole=10,
        reason="it is not JSON",
        source="modelmesh.requests/0/7",
        key=b"k",
        stack="Traceback",
    )
    assert [[name, value.decode()] for name, value in headers] == one["headers"]
