"""The inference log's rows on both databases: any order, any repetition, one row with the first outcome."""

import itertools
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest
from aiokafka import TopicPartition
from modelmesh.recorder.inference_log import InferenceLog
from modelmesh.recorder.labels import Labels
from modelmesh.recorder.log_offsets import read_offsets
from modelmesh.registry.storage.database import make_engine
from modelmesh.registry.storage.migrate import upgrade
from modelmesh.schemas.payloads.labels import Label
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
    _, total = await rows.page(models=["m"], version=None, status=200, missing=False, page=1, per_page=1)
    assert total == len(orders)


def _named(record, request_id):
    headers = [(name, value.replace(b"template", request_id.encode())) for name, value in record.headers]
    return SimpleNamespace(headers=headers, value=record.value, timestamp=record.timestamp)


async def test_offsets_are_stored_with_the_rows_and_never_go_back(rows, engine):
    await rows.write([asked("a", 1)], [], {REQUESTS: 5, REPLIES: 0})
    await rows.write([asked("b", 2)], [answered("a", 3)], {REQUESTS: 6, REPLIES: 1})
    await rows.write([asked("a", 1)], [], {REQUESTS: 5})  # somebody who lags behind
    assert await read_offsets(engine) == {REQUESTS: 6, REPLIES: 1}
    missing, total = await rows.page(models=None, version=None, status=None, missing=True, page=1, per_page=10)
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


def one_of(nonce, model="m", request_id="order-17", second=10, caller="", answer=1, version="1.0.0"):
    """A request and its reply."""
    request = PredictionRequest(request_id, model, 0.0, "replies", 0, b"{}", nonce=nonce, caller=caller)
    body = orjson.dumps({"model": model, "version": version, "outputs": {"label": [answer]}})
    reply = Reply(request_id, model, 200, body, version=version, nonce=nonce, caller=caller)
    return (
        SimpleNamespace(headers=request.headers(), value=b"{}", timestamp=second * 1000),
        SimpleNamespace(headers=reply.headers(), value=body, timestamp=second * 1000 + 500),
    )


A, B, C = ("a" * 32, "b" * 32, "c" * 32)


async def test_each_request_under_one_id_has_its_row(rows):
    asked_, answered_ = zip(one_of(A), one_of(B, "n", second=20), one_of(C, second=30), strict=True)
    for _ in range(2):
        await rows.write(asked_, answered_, {})
    found = await rows.find("order-17")
    assert [(row.nonce, row.model, row.status) for row in found] == [(C, "m", 200), (B, "n", 200), (A, "m", 200)]
    assert [row.nonce for row in await rows.find("order-17", models=["m"])] == [C, A]
    assert [row.nonce for row in await rows.find("order-17", nonce=B)] == [B]
    assert [row.nonce for row in await rows.find("order-17", models=["n"], nonce=A)] == []
    listed, total = await rows.page(
        models=["m"], version=None, status=None, missing=False, page=1, per_page=9, request_id="order-17"
    )
    assert ([row.nonce for row in listed], total) == ([C, A], 2)


async def test_records_of_the_old_form_are_told_apart_by_model(rows):
    asked_, answered_ = zip(one_of("", "m"), one_of("", "n"), strict=True)
    await rows.write(asked_, answered_, {})
    found = await rows.find("order-17")
    assert sorted((row.model, row.nonce, row.status) for row in found) == [
        ("m", "order-17", 200), ("n", "order-17", 200)
    ]  # fmt: skip


def said(truth, second, caller="", model="m"):
    label = Label(request_id="order-17", model=model, label=truth, caller=caller)
    return SimpleNamespace(value=label.model_dump_json().encode(), timestamp=second * 1000)


# What was asked (nonce, second, caller, its version answers with its own number), who says when that 2 is right, and whose
# answer that is compared with: the version, or None where nobody's.
ABOUT = {
    "the only one": ([(A, 10, "", 1)], [("", 99)], {"1.0.0"}),
    "the newest before it": ([(A, 10, "", 1), (B, 20, "", 2)], [("", 99)], {"2.0.0"}),
    "not what came later": ([(A, 10, "", 1), (B, 20, "", 2)], [("", 15)], {"1.0.0"}),
    "the first after it": ([(A, 10, "", 1), (B, 20, "", 2)], [("", 5)], {"1.0.0"}),
    "its sender's own": ([(A, 10, "shop", 1), (B, 20, "bank", 2)], [("shop", 99)], {"1.0.0"}),
    "each sender's own": ([(A, 10, "shop", 1), (B, 20, "bank", 2)], [("shop", 99), ("bank", 99)], {"1.0.0", "2.0.0"}),
    "the only asker's": ([(A, 10, "shop", 1)], [("auditor", 99)], {"1.0.0"}),
    "nobody's, of several": ([(A, 10, "shop", 1), (B, 20, "bank", 2)], [("auditor", 99)], set()),
}


@pytest.mark.parametrize("about", ABOUT)
async def test_a_label_is_about_one_request(rows, engine, about):
    asks, says, versions = ABOUT[about]
    pairs = [
        one_of(nonce, second=second, caller=caller, answer=number, version=f"{number}.0.0")
        for nonce, second, caller, number in asks
    ]
    other = one_of(C, "other", second=50, answer=3, version="3.0.0")  # another model's, under the same id
    requests, replies = zip(*pairs, other, strict=True)
    await rows.write(requests, replies, {})
    labels = Labels(engine)
    for _ in range(2):
        assert await labels.write([said(2, second, caller) for caller, second in says], {}) == []
        await labels.compare()
    found = await labels.accuracy("m")
    assert found.keys() == versions
    assert {version: figures["all"]["accuracy"] for version, figures in found.items()} == {
        version: float(version == "2.0.0") for version in versions
    }
    assert await labels.accuracy("other") == {}
    assert await labels.compare() == set()  # it is settled


async def test_a_label_waits_for_its_sender_before_it_is_about_somebody_elses(rows, engine):
    request, reply = one_of(A, caller="bank", answer=1)
    await rows.write([request], [reply], {})
    labels = Labels(engine)
    early = SimpleNamespace(value=said(2, 0, "shop").value, timestamp=10**18)  # now
    await labels.write([early], {})
    assert await labels.compare() == set()
    assert await labels.accuracy("m") == {}
    request, reply = one_of(B, caller="shop", answer=2, version="2.0.0")
    await rows.write([request], [reply], {})
    assert await labels.compare() == {"m"}
    assert (await labels.accuracy("m")).keys() == {"2.0.0"}
