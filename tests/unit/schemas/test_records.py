import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.schemas import records
from modelmesh.schemas.errors import MalformedRecord
from modelmesh.schemas.records import PredictionRequest, Reply

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
any_text = text | st.just("")
requests = st.builds(
    PredictionRequest,
    request_id=st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
    model=text,
    deadline=st.integers(0, 2**42).map(lambda ms: ms / 1000),
    reply_topic=text,
    reply_partition=st.integers(0, 10_000),
    body=st.binary(max_size=100),
    routing_key=any_text,
    role=st.sampled_from(["primary", "shadow"]),
    variant=any_text,
    version=any_text,
    nonce=st.just("") | st.from_regex(r"[A-Za-z0-9._:-]{22,128}", fullmatch=True),
    caller=any_text,
    attempt=st.integers(1, 9),
)


@given(requests)
def test_a_request_is_read_as_it_was_written(request: PredictionRequest):
    assert PredictionRequest.from_record(request.headers(), request.body) == request


@given(
    st.builds(
        Reply,
        request_id=text,
        model=text,
        status=st.integers(200, 599),
        body=st.binary(max_size=50),
        version=st.text(max_size=10),
        batch_size=st.integers(0, 99),
        worker=st.text(max_size=9),
        cached=st.booleans(),
        nonce=st.text(max_size=40),
        caller=st.text(max_size=9),
    )
)
def test_a_reply_is_read_as_it_was_written(reply: Reply):
    assert Reply.from_record(reply.headers(), reply.body) == reply


names = st.sampled_from([v for k, v in vars(records).items() if k.isupper() and isinstance(v, str)])


@given(st.lists(st.tuples(names, st.binary(max_size=30) | st.none())), st.binary(max_size=10) | st.none())
def test_any_header_raises_nothing_but_malformed_record(headers, value):
    for decoder in (PredictionRequest.from_record, Reply.from_record):
        try:
            decoder(headers, value)
        except MalformedRecord as error:
            assert error.detail


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (records.DEADLINE, b"soon"),
        (records.ID, b"no spaces allowed"),
        (records.ROLE, b"king"),
        (records.REPLY_PARTITION, b"-1"),
        (records.NONCE, b"17"),
        (records.NONCE, b"no spaces allowed in a nonce"),
        (records.NONCE, b"\xff" * 30),
        (records.ROUTING_KEY, "José".encode("latin-1")),
        (records.ROUTING_KEY, b"a\0b"),
        (records.MODEL, b"m\0"),
        (records.TRACEPARENT, b"\xff\xfe"),
        (records.PIN, b"\0"),
        (records.CONTENT_TYPE, b"application/json\0"),
        (records.CALLER, b"\xc3"),
    ],
)
def test_the_error_names_the_broken_header(header, value):
    good = PredictionRequest("id", "m", 1.0, "replies", 0, b"{}")
    broken = [(name, value if name == header else old) for name, old in good.headers()]
    if header not in dict(good.headers()):
        broken.append((header, value))
    with pytest.raises(MalformedRecord) as caught:
        PredictionRequest.from_record(broken, b"{}")
    assert caught.value.field == header
    assert len(caught.value.detail) < 400  # it goes into a header of the dead letter


def test_a_record_without_a_nonce_is_identified_by_its_request_id():
    request = PredictionRequest("order-17", "m", 1.0, "replies", 0, b"{}")
    assert records.NONCE not in dict(request.headers())
    assert PredictionRequest.from_record(request.headers(), b"{}").identity == "order-17"
    reply = Reply("order-17", "m", 200, b"{}")
    assert records.NONCE not in dict(reply.headers())
    assert Reply.from_record(reply.headers(), b"{}").identity == "order-17"


def test_nonces_distinguish_requests_with_the_same_id():
    one, two = (PredictionRequest("order-17", "m", 1.0, "replies", 0, b"{}", nonce=n * 32) for n in "ab")
    assert one.request_id == two.request_id
    assert one.identity != two.identity
