"""Whatever bytes a record holds, a decoder returns a value or one known error: nothing else may reach a consumer."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.producers.dead_letters import DeadLetter
from modelmesh.schemas import records
from modelmesh.schemas.errors import MalformedRecord
from modelmesh.schemas.payloads.chaos import Fault
from modelmesh.schemas.payloads.commands import read_command
from modelmesh.schemas.payloads.events import CanaryStarted, CommandRefused, ExperimentStarted
from modelmesh.schemas.payloads.observations import Summary
from modelmesh.schemas.payloads.read_events import read_event
from modelmesh.schemas.payloads.releases import Release
from modelmesh.schemas.payloads.replicas import Heartbeat
from modelmesh.schemas.records import PredictionRequest, Reply
from pydantic import ValidationError

from .releases import COMMANDS

NAMES = [value for name, value in vars(records).items() if name.isupper() and isinstance(value, str)]
values = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"", b"1", b"-1", b"1e999", b"nan", b"inf", b"9" * 20, b"200", b"shadow", b"\xff\xfe", b"id-1"]),
)
headers = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=24)
REQUIRED = (records.MODEL, records.DEADLINE, records.REPLY_TOPIC, records.REPLY_PARTITION, records.STATUS)
complete = st.fixed_dictionaries(
    {records.ID: st.just(b"id-1")} | dict.fromkeys(REQUIRED, values),
    optional={name: values for name in NAMES if name not in (records.ID, *REQUIRED)},
).map(lambda found: list(found.items()))
bodies = st.none() | st.binary(max_size=40)


@settings(max_examples=400)
@given(st.one_of(headers, complete), bodies)
def test_a_request_is_read_or_malformed(found, value):
    try:
        request = PredictionRequest.from_record(found, value)
    except MalformedRecord as error:
        assert error.detail
    else:
        # What was read can be written and read again.
        assert PredictionRequest.from_record(request.headers(), request.body).request_id == request.request_id


@settings(max_examples=400)
@given(st.one_of(headers, complete), bodies)
def test_a_reply_is_read_or_malformed(found, value):
    try:
        reply = Reply.from_record(found, value)
    except MalformedRecord as error:
        assert error.detail
    else:
        assert Reply.from_record(reply.headers(), reply.body).request_id == reply.request_id


@given(headers, bodies)
def test_a_dead_letter_is_always_readable(found, value):
    record = SimpleNamespace(offset=3, timestamp=1000, headers=found, value=value)
    letter = DeadLetter.from_record(record)
    assert letter.number == 3
    assert isinstance(letter.topic, str)
    assert letter.request is None or letter.request.request_id


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


KINDS = [*COMMANDS.values(), CanaryStarted, CommandRefused, ExperimentStarted, Summary, Release, Heartbeat, Fault]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_document_is_read_or_invalid(kind, data):
    names = st.sampled_from(list(kind.model_fields))
    which = {"kind": kind.model_fields["kind"].default} if "kind" in kind.model_fields and kind is not Fault else {}
    document = data.draw(
        st.one_of(
            st.binary(max_size=30),
            st.dictionaries(names, json_like, max_size=8).map(lambda d: json.dumps(which | d).encode()),
        )
    )
    for read in (kind.model_validate_json, read_command, read_event):
        try:
            read(document)
        except ValidationError as error:
            assert error.errors()
