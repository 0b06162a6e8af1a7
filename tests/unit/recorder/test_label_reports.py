"""Labels join their answers in the database, and each request is reported to the judge once, whatever comes between."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from aiokafka import ConsumerRecord
from modelmesh.control_plane.judge.accuracy_evidence import AccuracyEvidence
from modelmesh.models.values.truth import BatchAccuracy
from modelmesh.recorder.inference_log import InferenceLog
from modelmesh.recorder.label_reports import labelled_answer, publish_reports
from modelmesh.recorder.labels import Labels
from modelmesh.registry.storage.database import Base, InferenceRow, make_engine
from modelmesh.schemas.errors import BrokerUnavailable
from modelmesh.schemas.payloads.label_reports import LABELLED, LabelledAnswer, LabelReport, label_unit
from modelmesh.schemas.payloads.labels import Label
from modelmesh.schemas.records import PredictionRequest, Reply

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NONCE = "n" * 24


class Log:
    """Takes what is published; `fails_after` so many records it fails, after the record is on the log if `taken`."""

    def __init__(self):
        self.records = []
        self.fails_after, self.taken = None, False

    async def write(self, topic, records, headers=()):
        fails = self.fails_after is not None and len(self.records) >= self.fails_after
        if not fails or self.taken:
            assert list(headers) == [LABELLED]
            self.records += [LabelReport.model_validate_json(value) for _, value in records]
        if fails:
            raise BrokerUnavailable("Kafka did not take it")

    @property
    def answers(self):
        """What the judge counts: by model and trial, each report once."""
        return [answer for number in sorted({r.number for r in self.records}) for answer in self._of(number).answers]

    def _of(self, number):
        return next(report for report in self.records if report.number == number)


@pytest.fixture
async def engine(tmp_path):
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path}/log.db")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


def record(headers, value, seconds):
    moment = round((BEGAN + timedelta(seconds=seconds)).timestamp() * 1000)
    return ConsumerRecord("t", 0, 0, moment, 0, None, value, None, 0, 0, tuple(headers))


def asked(name, *, key="", at=0.0):
    request = PredictionRequest(name, "m", 9e9, "modelmesh.replies", 0, b"{}", routing_key=key, nonce=NONCE + name)
    return record(request.headers(), b"{}", at)


def answered(name, label="a", *, candidate=False, trial=2, at=1.0, **options):
    version = "2.0.0" if candidate else "1.0.0"
    variant = "candidate" if candidate else "stable"
    body = orjson.dumps({"outputs": {"label": [label] if isinstance(label, str) else label}})
    fields = {"version": version, "variant": variant, "trial": trial, "generation": trial} | options
    reply = Reply(name, "m", 200, body, nonce=NONCE + name, **fields)
    return record(reply.headers(), body, at)


def label(name, truth="a", *, caller="", at=2.0):
    return record((), Label(request_id=name, model="m", label=truth, caller=caller).model_dump_json().encode(), at)


async def seen(engine, log, requests=(), replies=(), labels=()):
    await InferenceLog(engine).write(requests, replies, {})
    assert await Labels(engine).write(labels, {}) == []
    await Labels(engine).compare()
    await publish_reports(engine, log, "observations")


async def test_a_label_counts_for_the_trial_of_its_answer_however_late(engine):
    log = Log()
    await seen(
        engine,
        log,
        [asked("one", key="kim"), asked("two")],
        [answered("one", candidate=True), answered("two", "b", trial=5)],
    )
    await seen(engine, log, labels=[label("one", at=90_000.0), label("two", at=90_000.0)])
    found = {report.trial: report.answers for report in log.records}
    assert found == {
        2: [LabelledAnswer(2, True, 0.0, label_unit("kim"))],
        5: [LabelledAnswer(5, False, 1.0, None)],
    }
    assert {report.kind for report in log.records} == {"right"}


async def test_a_corrected_label_and_another_senders_do_not_count_twice(engine):
    log = Log()
    await seen(engine, log, [asked("one")], [answered("one")], [label("one", "b")])
    await seen(engine, log, labels=[label("one", "a", at=3.0)])
    await seen(engine, log, labels=[label("one", "a", caller="auditor", at=4.0)])
    assert log.answers == [LabelledAnswer(2, False, 1.0, None)]
    assert (await Labels(engine).accuracy("m"))["1.0.0"]["all"]["accuracy"] == 1.0


async def test_a_label_before_its_answer_counts_and_so_does_the_correction_of_one_that_did_not_fit(engine):
    log = Log()
    await seen(engine, log, [asked("one"), asked("two")], [answered("two")], [label("one"), label("two", ["a", "b"])])
    assert log.answers == []
    await seen(engine, log, replies=[answered("one")], labels=[label("two", "b", at=3.0)])
    assert sorted(answer.loss for answer in log.answers) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("options", "counts_for"),
    [
        ({"candidate": True}, True),
        ({"fallback": "2.0.0"}, True),
        ({"candidate": True, "version": "1.0.0"}, True),
        ({"cached": True}, False),
        ({"candidate": True, "cached": True}, True),
        ({"trial": 0, "generation": 0, "variant": "pinned"}, None),
        ({"generation": 0}, None),
        ({"trial": 2**40, "generation": 3}, None),
    ],
)
async def test_which_version_a_request_counts_for(engine, options, counts_for):
    log = Log()
    await seen(engine, log, [asked("one")], [answered("one", **options)], [label("one")])
    assert [answer.candidate for answer in log.answers] == ([] if counts_for is None else [counts_for])


async def test_a_restart_at_any_point_loses_nothing_and_doubles_nothing(engine):
    log = Log()
    names = [f"r{number}" for number in range(6)]
    for number, name in enumerate(names):
        # Either Kafka does not take the record, or the recorder ends before it knows that Kafka has.
        log.fails_after, log.taken = (0, number % 2 == 1) if number < 4 else (None, False)
        await seen(engine, log, [asked(name)], [answered(name, "ab"[number % 2])], [label(name)])
    assert len(log.records) > len(names), "some came twice"
    evidence = AccuracyEvidence()
    counted = [report for report in log.records if evidence.take_in(report)]
    assert [answer.loss for report in counted for answer in report.answers] == [0.0, 1.0] * 3
    await publish_reports(engine, log, "observations")
    assert not evidence.take_in(log.records[-1])


async def test_numbers_grow_after_all_reports_were_deleted(engine):
    log = Log()
    for name in ("one", "two"):
        await seen(engine, log, [asked(name)], [answered(name)], [label(name)])
    assert [report.number for report in log.records] == [1, 2]


def test_one_of_several_rows_is_drawn_and_errors_are_averaged():
    def row(nonce):
        return InferenceRow(nonce=nonce, trial=2, generation=2, variant="stable")

    drawn = [labelled_answer(row(f"nonce {n}"), BatchAccuracy(4, 3, None)).loss for n in range(2000)]
    assert sum(drawn) / 2000 == pytest.approx(0.25, abs=0.04)
    assert labelled_answer(row("n"), BatchAccuracy(4, 4, None)).loss == 0.0
    assert labelled_answer(row("n"), BatchAccuracy(4, 0, None)).loss == 1.0
    assert labelled_answer(row("n"), BatchAccuracy(4, None, 6.0)).loss == 1.5
    assert labelled_answer(row("n"), BatchAccuracy(1, None, float("inf"))).loss == 1e300
