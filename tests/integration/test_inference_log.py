"""The inference log's rows on both databases: any order, any repetition, one row with the first outcome."""

import itertools
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from modelmesh.control_plane.database import make_engine
from modelmesh.control_plane.inference_log import InferenceLog
from modelmesh.control_plane.log_offsets import read_offsets
from modelmesh.control_plane.migrate import upgrade
from modelmesh.schemas.records import PredictionRequest, Reply

REQUESTS, REPLIES = TopicPartition("requests", 0), TopicPartition("replies", 0)


def asked(request_id, second, attempt=1):
    request = PredictionRequest(request_id, "m", 0.0, "replies", 0, b'{"inputs": 1}', attempt=attempt)
    return SimpleNamespace(headers=request.headers(), value=request.body, timestamp=second * 1000)


def answered(request_id, second, status=200):
    reply = Reply(request_id, "m", status, b"{}", version="1.0.0", variant="stable", worker="w")
    return SimpleNamespace(headers=reply.headers(), value=reply.body, timestamp=second * 1000)


@pytest.fixture
async def engine(database_url):
    await upgrade(database_url)
    engine = make_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def rows(engine):
    return InferenceLog(engine)


async def test_requests_and_outcomes_meet_in_any_order_and_come_twice(rows):
    steps = {
        "asked": ([asked("template", 10)], []),
        "again": ([asked("template", 11, attempt=2)], []),
        "answered": ([], [answered("template", 12)]),
        "twice": ([], [answered("template", 13)]),
    }
    orders = list(itertools.permutations(steps))
    for number, order in enumerate(orders):
        for _ in range(2):  # and all of it once more, as after a crash
            for name in order:
                requests, replies = steps[name]
                one = [_named(record, f"id-{number}") for record in requests]
                two = [_named(record, f"id-{number}") for record in replies]
                await rows.write(one, two, {})
        row = await rows.get(f"id-{number}")
        assert (row.status, row.attempts, row.version, row.request) == (200, 2, "1.0.0", b'{"inputs": 1}'), order
        assert row.at == datetime.fromtimestamp(10, UTC)
        first = min(order.index("answered"), order.index("twice"))
        assert row.answered_at == datetime.fromtimestamp(12 if order[first] == "answered" else 13, UTC)
    _, total = await rows.page(model="m", version=None, status=200, missing=False, page=1, per_page=1)
    assert total == len(orders)


def _named(record, request_id):
    headers = [(name, value.replace(b"template", request_id.encode())) for name, value in record.headers]
    return SimpleNamespace(headers=headers, value=record.value, timestamp=record.timestamp)


async def test_offsets_are_stored_with_the_rows_and_never_go_back(rows, engine):
    await rows.write([asked("a", 1)], [], {REQUESTS: 5, REPLIES: 0})
    await rows.write([asked("b", 2)], [answered("a", 3)], {REQUESTS: 6, REPLIES: 1})
    await rows.write([asked("a", 1)], [], {REQUESTS: 5})  # somebody who lags behind
    assert await read_offsets(engine) == {REQUESTS: 6, REPLIES: 1}
    missing, total = await rows.page(model=None, version=None, status=None, missing=True, page=1, per_page=10)
    assert ([row.request_id for row in missing], total) == (["b"], 1)


async def test_what_is_old_is_forgotten(rows):
    await rows.write([asked("old", 1), asked("new", 100)], [], {})
    assert await rows.forget(datetime.fromtimestamp(50, UTC)) == 1
    assert await rows.get("old") is None
    assert await rows.get("new") is not None


async def test_a_row_that_no_column_would_take_stops_nobody(rows):
    strange = PredictionRequest("strange", "m\0" * 100, 0.0, "replies", 0, b"\0\xff", attempt=10**12)
    reply = Reply("strange", "m\0" * 100, 200, b"\xff", version="v" * 100, variant="\0" * 100, worker="w" * 500)
    no_status = Reply("nobody", "m", 10**12, b"")
    await rows.write(
        [SimpleNamespace(headers=strange.headers(), value=strange.body, timestamp=10**18)],
        [SimpleNamespace(headers=one.headers(), value=one.body, timestamp=-1) for one in (reply, no_status)],
        {},
    )
    row = await rows.get("strange")
    assert (row.status, row.version, row.variant, row.model) == (200, "v" * 32, "", "m" * 64)
    assert await rows.get("nobody") is None
