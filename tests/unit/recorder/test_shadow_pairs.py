"""Pairs of production's and the shadow's answers."""

from dataclasses import replace

import orjson
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.broker.kafka.outbox import Outbox
from modelmesh.recorder.shadow_joiner import ShadowJoiner
from modelmesh.recorder.shadow_pairs import PAIR_TIMEOUT, WAITING_BYTES, ShadowPairs, difference
from modelmesh.schemas.errors import ModelFailed, ShadowShed
from modelmesh.schemas.payloads.profiles import OutputBins
from modelmesh.schemas.records import Reply
from modelmesh.schemas.settings import Settings


def reply(number, value=1.0, error=None, label=None):
    outputs = {"value": [value]} | ({"label": [label]} if label is not None else {})
    body = orjson.dumps(error.problem() if error else {"model": "m", "version": "1.0.0", "outputs": outputs})
    return Reply(f"r{number}", "m", error.status if error else 200, body, seconds=0.002)


kinds = st.lists(st.sampled_from(["same", "other", "shed", "failed"]), max_size=25)


@given(kinds, st.randoms())
def test_each_copy_is_paired_or_shed_once_in_any_order(sent, random):
    records = []
    for number, kind in enumerate(sent):
        error = {"shed": ShadowShed(), "failed": ModelFailed("no")}.get(kind)
        records.append((reply(number), False))
        records.append((reply(number, 1.0 if kind == "same" else 5.0, error), True))
    records += records[: len(records) // 2]
    random.shuffle(records)
    pairs = ShadowPairs()
    for record, shadow in records:
        pairs.add(record, 0.0, shadow=shadow)
    document = pairs.document()
    assert document["copied"] == len(sent) == document["paired"] + document["shed"]
    assert document["shed"] == sent.count("shed")
    assert document["sides"]["shadow"]["errors"] == sent.count("failed")
    compared = sent.count("same") + sent.count("other")
    assert document["agreement"] == (sent.count("same") / compared if compared else None)
    assert len(document["worst"]) == min(20, sent.count("other") + sent.count("failed"))
    assert (document["waiting"], document["alone"]) == (0, 0)


def test_the_worst_differences_come_first_and_failures_before_all():
    pairs = ShadowPairs()
    for number, value in enumerate((3.0, 9.0, 5.0)):
        pairs.add(reply(number), 0.0, shadow=False)
        pairs.add(reply(number, value), 0.0, shadow=True)
    pairs.add(reply(7), 0.0, shadow=False)
    pairs.add(reply(7, error=ModelFailed("no")), 0.0, shadow=True)
    assert [found["distance"] for found in pairs.document()["worst"]] == [None, 8.0, 4.0, 2.0]


def test_the_answers_of_both_sides_are_counted():
    pairs = ShadowPairs(OutputBins(output="value", edges=(2.0, 4.0)))
    for number, value in enumerate((1.0, 3.0, 9.0)):
        pairs.add(reply(number), 0.0, shadow=False)
        pairs.add(reply(number, value), 0.0, shadow=True)
    sides = pairs.document()["sides"]
    assert sides["production"]["outputs"] == {"0": 3}
    assert sides["shadow"]["outputs"] == {"0": 1, "1": 1, "2": 1}


def test_two_requests_under_one_id_are_two_pairs():
    pairs = ShadowPairs()
    for nonce, value in (("a" * 32, 1.0), ("b" * 32, 2.0)):
        pairs.add(replace(reply(1, value), nonce=nonce), 0.0, shadow=False)
    for nonce, value in (("b" * 32, 2.0), ("a" * 32, 1.0)):
        pairs.add(replace(reply(1, value), nonce=nonce), 0.0, shadow=True)
    document = pairs.document()
    assert (document["paired"], document["agreement"], document["worst"]) == (2, 1.0, [])


def test_answers_that_wait_are_limited_in_bytes():
    large = b"x" * (WAITING_BYTES // 4)
    pairs = ShadowPairs()
    for number in range(10):
        pairs.add(replace(reply(number), body=large), 0.0, shadow=False)
    document = pairs.document()
    assert (document["waiting"], document["alone"]) == (4, 6)


@pytest.mark.parametrize(
    "body", [b"", b"\0\1", b"[]", b"{}", b'{"outputs": 1}', b'{"outputs": {"value": [[1], [1, 2]]}}']
)
async def test_an_answer_that_cannot_be_compared_does_not_raise(body):
    joiner = ShadowJoiner(Settings(), Outbox(None))
    joiner._pairs["m", 1] = ShadowPairs(OutputBins(output="value", edges=(2.0, 4.0)))
    for topic in ("modelmesh.replies", "modelmesh.shadow-replies"):
        answer = replace(reply(1), body=body, trial=1, shadow="2.0.0")
        record = ConsumerRecord(topic, 0, 1, 0, 0, b"", body, None, 0, 0, tuple(answer.headers()))
        joiner._on_record(record, shadow="shadow" in topic)


def test_an_answer_without_a_partner_counts_as_alone():
    pairs = ShadowPairs()
    pairs.add(reply(1), 0.0, shadow=False)
    pairs.forget(PAIR_TIMEOUT - 1)
    assert pairs.document()["waiting"] == 1
    pairs.forget(PAIR_TIMEOUT + 1)
    assert (pairs.document()["waiting"], pairs.document()["alone"]) == (0, 1)


@pytest.mark.parametrize(
    ("ours", "theirs", "agree", "changed", "distance"),
    [
        (
            {"label": ["a"], "probabilities": [[0.9, 0.1]]},
            {"label": ["a"], "probabilities": [[0.6, 0.4]]},
            True,
            False,
            0.3,
        ),
        (
            {"label": ["a"], "probabilities": [[0.6, 0.4]]},
            {"label": ["b"], "probabilities": [[0.4, 0.6]]},
            False,
            True,
            0.2,
        ),
        ({"label": [1]}, {"label": [0]}, False, True, 0.0),
        ({"value": [100.0]}, {"value": [100.5]}, True, False, 0.5),
        ({"value": [100.0]}, {"value": [102.0]}, False, False, 2.0),
        ({"text": ["x"]}, {"text": ["y"]}, False, False, 0.0),
        ({"value": [1.0]}, {"other": [1.0]}, False, False, 0.0),
        ({"value": [[1.0]]}, {"value": [[1.0, 2.0]]}, False, False, 0.0),
    ],
)
def test_answers_agree_by_label_or_within_one_percent(ours, theirs, agree, changed, distance):
    found = difference(ours, theirs)
    assert (found.agree, found.label_changed) == (agree, changed)
    assert found.distance == pytest.approx(distance)
