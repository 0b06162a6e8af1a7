import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.schemas import records
from modelmesh.schemas.errors import MalformedRecord
from modelmesh.schemas.records import PredictionRequest, Reply

text = st.text(min_size=1, max_size=40)
requests = st.builds(
    PredictionRequest,
    request_id=st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
    model=text,
    deadline=st.integers(0, 2**42).map(lambda ms: ms / 1000),
    reply_topic=text,
    reply_partition=st.integers(0, 10_000),
    body=st.binary(max_size=100),
    routing_key=st.text(max_size=20),
    role=st.sampled_from(["primary", "shadow"]),
    variant=st.text(max_size=10),
    version=st.text(max_size=10),
    attempt=st.integers(1, 9),
)


@given(requests)
def test_a_request_survives_its_record(request: PredictionRequest):
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
    )
)
def test_a_reply_survives_its_record(reply: Reply):
    assert Reply.from_record(reply.headers(), reply.body) == reply


names = st.sampled_from([v for k, v in vars(records).items() if k.isupper() and isinstance(v, str)])


@given(st.lists(st.tuples(names, st.binary(max_size=30) | st.none())), st.binary(max_size=10) | st.none())
def test_no_header_whatever_raises_anything_but_malformed_record(headers, value):
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
    ],
)
def test_the_broken_header_is_named(header, value):
    good = PredictionRequest("id", "m", 1.0, "replies", 0, b"{}")
    broken = [(name, value if name == header else old) for name, old in good.headers()]
    if header == records.ROLE:
        broken.append((header, value))
    with pytest.raises(MalformedRecord) as caught:
        PredictionRequest.from_record(broken, b"{}")
    assert caught.value.field == header
