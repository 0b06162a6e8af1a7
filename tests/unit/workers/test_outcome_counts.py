"""Each row of the table "What counts" in docs/releases.md."""

import asyncio

import pytest
from modelmesh.schemas.errors import DeadlineExceeded, InvalidInput, ModelFailed, ModelRefusedInput, NoWorker
from modelmesh.schemas.payloads.observations import KEY_UNITS, Summary, key_unit
from modelmesh.schemas.settings import Settings
from modelmesh.workers.observer import Observer

from ..releases import canary
from .test_model_server import Setup

STABLE, CANDIDATE = "1.0.0", "2.0.0"
FAILED, REFUSED = ModelFailed("broken"), ModelRefusedInput("unknown category")


@pytest.fixture
async def setup():
    return Setup()


# The outcome of stable for a request that is assigned to it, and what counts for it.
@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (b"1", [(STABLE, "answered")]),
        (FAILED, [(STABLE, "failed")]),
        (REFUSED, []),
        (InvalidInput("no number"), []),
        (DeadlineExceeded(), []),
    ],
)
async def test_a_request_of_stable(setup, outcome, counted):
    setup.ask(version=STABLE)
    setup.stable.finish(outcome)
    assert setup.counts.seen == counted


# The candidate's outcome, that of stable for the same request, and what counts for the candidate; nothing does for stable.
@pytest.mark.parametrize(
    ("outcome", "of_stable", "counted"),
    [
        (b"2", None, [(CANDIDATE, "answered")]),
        (InvalidInput("no number"), None, []),
        (FAILED, b"1", [(CANDIDATE, "failed")]),
        (FAILED, FAILED, [(CANDIDATE, "failed on by stable too")]),
        (FAILED, REFUSED, []),
        (FAILED, DeadlineExceeded(), [(CANDIDATE, "failed")]),
        (REFUSED, b"1", [(CANDIDATE, "failed")]),
        (REFUSED, REFUSED, []),
        (REFUSED, FAILED, [(CANDIDATE, "failed on by stable too")]),
        (REFUSED, DeadlineExceeded(), []),
    ],
)
async def test_a_request_of_the_candidate(setup, outcome, of_stable, counted):
    setup.ask()
    setup.candidate.finish(outcome)
    if of_stable is not None:
        setup.stable.finish(of_stable)
    assert len(setup.answers.replies) == 1
    assert setup.counts.seen == counted


@pytest.mark.parametrize("version", [STABLE, CANDIDATE])
async def test_a_version_that_takes_too_long_is_late(version):
    setup = Setup(share=1e-6)
    setup.ask(version=version, seconds=1000.0)
    await asyncio.sleep(0.01)
    if version == CANDIDATE:
        setup.stable.finish(b"1")
    else:
        setup.stable.finish(b"late, but an answer")
    assert setup.counts.seen == [(version, "late")]


@pytest.mark.parametrize("version", [STABLE, CANDIDATE])
async def test_a_deadline_that_was_over_before_counts_for_neither(setup, version):
    setup.ask(version=version, seconds=-1.0)
    await asyncio.sleep(0.01)
    setup.stable.finish(DeadlineExceeded())
    assert setup.counts.seen == []


@pytest.mark.parametrize("version", [STABLE, CANDIDATE])
async def test_a_retry_counts_for_neither(setup, version):
    setup.ask(version=version, attempt=2)
    (setup.candidate if version == CANDIDATE else setup.stable).finish(FAILED)
    if version == CANDIDATE:
        setup.stable.finish(b"1")
    assert setup.counts.seen == []


@pytest.mark.parametrize("version", [STABLE, CANDIDATE])
async def test_a_request_without_a_loaded_version_counts_for_neither(setup, version):
    setup.servers.clear()
    setup.ask(version=version)
    assert isinstance(setup.answers.replies[0][1], NoWorker)
    assert setup.counts.seen == []


async def test_a_request_that_stable_answers_since_the_candidate_is_not_loaded_counts_for_stable(setup):
    del setup.servers[setup.candidate.spec.identity]
    setup.ask()
    setup.stable.finish(b"1")
    assert setup.counts.seen == [(STABLE, "answered")]


class Sent:
    """Stands for the outbox: keeps what was sent."""

    def __init__(self):
        self.values = []

    def send(self, topic, value, **_):
        self.values.append(value)


def test_requests_are_counted_by_routing_key_too():
    sent = Sent()
    observer = Observer(Settings(), sent, "e")
    observer.set_release("m", canary(0.1))
    for number in range(50):
        observer.answered("m", 2, CANDIDATE, "i", 0.01, "one user")
        observer.failed("m", 2, CANDIDATE, "i", 0.01, "broken", f"user {number % 3}")
        observer.answered("m", 2, CANDIDATE, "i", 0.01)
    observer.flush()
    summary = Summary.model_validate_json(sent.values[0])
    counts = summary.versions[CANDIDATE]
    assert (counts.requests, counts.keyed, counts.failed, counts.keyed_failed) == (150, 100, 50, 50)
    assert sorted(counts.failed_units) == sorted({key_unit(f"user {number}") for number in range(3)})
    assert len(counts.keyed_latency) == 4
    assert all(0 <= unit < KEY_UNITS for unit in counts.keyed_latency)
    assert summary.shares == {STABLE: 0.9, CANDIDATE: 0.1}


def test_requests_from_before_a_change_of_shares_are_sent_with_the_shares_before():
    sent = Sent()
    observer = Observer(Settings(), sent, "e")
    observer.set_release("m", canary(0.5))
    observer.failed("m", 2, CANDIDATE, "i", 0.01, "broken", "user")
    observer.set_release("m", canary(0.1, generation=3))
    observer.failed("m", 2, CANDIDATE, "i", 0.01, "broken", "user")
    observer.flush()
    shares = [Summary.model_validate_json(value).shares[CANDIDATE] for value in sent.values]
    assert shares == [0.5, 0.1]
