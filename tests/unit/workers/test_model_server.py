"""Stable is the fallback for a candidate's failures, copies wait, and each request is answered exactly once."""

import asyncio
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmesh.runtime.chaos import Chaos
from modelmesh.schemas.errors import CircuitOpen, InvalidInput, ModelFailed, ModelRefusedInput, NoWorker, ShadowShed
from modelmesh.schemas.records import PredictionRequest
from modelmesh.schemas.settings import Settings
from modelmesh.telemetry.bookkeeping import Bookkeeping
from modelmesh.telemetry.tracing import Traces
from modelmesh.workers.model_server import ModelServer
from modelmesh.workers.shadow_queue import ShadowQueue
from modelmesh.workers.versions.results import RequestResult

from ..releases import canary, full, spec


class Version:
    """Stands for a loaded version: holds its requests until `finish`."""

    def __init__(self, version):
        self.spec = spec(version)
        self.held = []
        self.submitted = asyncio.Event()
        self.server = None

    @property
    def idle(self):
        return not self.held

    def submit(self, request, token):
        self.held.append((request, token))
        self.submitted.set()

    def finish(self, outcome):
        request, token = self.held.pop(0)
        self.server.answer(RequestResult(request, token, outcome, self.spec.version, 1, identity=self.spec.identity))


class Answers:
    """Stands for the ReplyWriter; collects the replies."""

    def __init__(self):
        self.replies = []
        self.fills = []

    def reply(self, request, delivery, outcome, **options):
        self.fills.append(request.fill)
        self.replies.append((request.request_id, outcome, options))


class Counts:
    """Stands for the observer and the metrics."""

    def __init__(self):
        self.seen = []

    def answered(self, model, trial, version, identity, seconds, key=""):
        self.seen.append((version, "answered"))

    def failed(self, model, trial, version, identity, seconds, message, key="", *, late=False, shared=False):
        self.seen.append((version, "late" if late else "failed on by stable too" if shared else "failed"))

    def served(self, *_):
        pass


class Setup:
    """A canary in one worker."""

    def __init__(self, release=None, share=0.5):
        self.stable, self.candidate = Version("1.0.0"), Version("2.0.0")
        self.servers = {version.spec.identity: version for version in (self.stable, self.candidate)}
        self.answers, self.counts = Answers(), Counts()
        self.busy = False
        self.breakers = []
        self.server = ModelServer(
            Settings(candidate_share=share, shadow_queue=3), "m", self.servers,
            self.answers, self.counts, self.counts, is_busy=lambda: self.busy, not_loaded_message=lambda version: f"no {version}",
            chaos=Chaos(Settings()), traces=Traces("worker", "w", 0.0, None), keep_books=Bookkeeping(),
            on_breaker=lambda version, state: self.breakers.append((version, state)),
        )  # fmt: skip
        self.server.release = release or canary()
        self.stable.server = self.candidate.server = self.server

    def ask(self, number=1, version="2.0.0", *, seconds=60.0, **options):
        request = PredictionRequest(
            f"r{number}", "m", time.time() + seconds, "replies", 0, b"", version=version, variant="candidate", **options
        )
        self.server.submit(request, f"delivery {number}")


@pytest.fixture
async def setup():
    return Setup()


async def test_a_good_candidate_answers_itself(setup):
    setup.ask()
    setup.candidate.finish(b"2")
    [(_, outcome, options)] = setup.answers.replies
    assert (outcome, options["version"], options["fallback"]) == (b"2", "2.0.0", "")
    assert setup.counts.seen == [("2.0.0", "answered")]
    assert setup.server.primaries == 0


async def test_stable_answers_a_failure_of_the_candidate_which_is_counted(setup):
    setup.ask()
    setup.candidate.finish(ModelFailed("broken"))
    assert setup.answers.replies == []
    setup.stable.finish(b"1")
    [(_, outcome, options)] = setup.answers.replies
    assert (outcome, options["version"], options["variant"], options["fallback"]) == (b"1", "1.0.0", "stable", "2.0.0")
    assert setup.counts.seen == [("2.0.0", "failed")]


async def test_a_retry_is_answered_and_is_no_evidence(setup):
    setup.ask(1, attempt=2)
    setup.candidate.finish(b"2")
    setup.ask(2, attempt=2)
    setup.candidate.finish(ModelFailed("broken"))
    setup.stable.finish(b"1")
    assert [outcome for _, outcome, _ in setup.answers.replies] == [b"2", b"1"]
    assert setup.counts.seen == []


async def test_stable_answers_for_an_open_candidate_and_an_open_stable_is_refused_at_once(setup):
    for number in range(20):
        setup.ask(number)
        setup.candidate.finish(ModelFailed("broken"))
        setup.stable.finish(b"1")
    assert setup.server.breaker_states() == {setup.candidate.spec.identity: "open"}
    setup.ask(20)
    assert (len(setup.candidate.held), len(setup.stable.held)) == (0, 1)
    setup.stable.finish(b"1")
    setup.answers.replies.clear()
    for number in range(100):
        setup.ask(number, "1.0.0")
        if setup.stable.held:
            setup.stable.finish(ModelFailed("broken"))
    refused = [outcome for _, outcome, _ in setup.answers.replies if isinstance(outcome, CircuitOpen)]
    assert len(setup.answers.replies) == 100
    assert refused
    assert all(0 < outcome.retry_after <= 5.0 for outcome in refused)
    assert [change for change in setup.breakers if change[1] == "open"] == [("2.0.0", "open"), ("1.0.0", "open")]


async def test_a_request_on_which_stable_fails_too_counts_as_it_would_for_stable(setup):
    setup.ask()
    setup.candidate.finish(ModelFailed("broken"))
    setup.stable.finish(ModelFailed("broken as well"))
    [(_, outcome, _)] = setup.answers.replies
    assert outcome.detail == "broken as well"
    assert setup.counts.seen == [("2.0.0", "failed on by stable too")]


async def test_a_caller_does_not_wait_for_a_late_candidate():
    setup = Setup(share=0.01)
    setup.ask(seconds=5.0)
    async with asyncio.timeout(5):
        await setup.stable.submitted.wait()
    setup.stable.finish(b"1")
    setup.candidate.finish(b"2")
    [(_, outcome, options)] = setup.answers.replies
    assert (outcome, options["fallback"]) == (b"1", "2.0.0")
    assert setup.counts.seen == [("2.0.0", "late")]


async def test_the_first_of_both_answers_wins():
    setup = Setup(share=0.01)
    setup.ask(seconds=5.0)
    async with asyncio.timeout(5):
        await setup.stable.submitted.wait()
    setup.candidate.finish(b"2")
    setup.stable.finish(b"1")
    assert [outcome for _, outcome, _ in setup.answers.replies] == [b"2"]
    assert setup.counts.seen == [("2.0.0", "late")]


async def test_callers_errors_are_not_counted(setup):
    setup.ask()
    setup.candidate.finish(InvalidInput("no"))
    assert [type(outcome) for _, outcome, _ in setup.answers.replies] == [InvalidInput]
    assert setup.counts.seen == []


async def test_stables_failures_are_answered_and_counted(setup):
    setup.ask(version="1.0.0")
    setup.stable.finish(ModelFailed("broken"))
    assert [type(outcome) for _, outcome, _ in setup.answers.replies] == [ModelFailed]
    assert setup.counts.seen == [("1.0.0", "failed")]


async def test_stable_answers_for_an_unloaded_version_and_without_stable_there_is_no_worker(setup):
    setup.ask(version="0.1.0")
    setup.stable.finish(b"1")
    assert setup.answers.replies[-1][1] == b"1"
    setup.server.release = full("9.0.0")
    setup.ask(2, version="0.1.0")
    assert isinstance(setup.answers.replies[-1][1], NoWorker)


async def test_copies_wait_while_the_worker_is_busy_and_the_oldest_are_shed(setup):
    setup.busy = True
    for number in range(5):
        setup.ask(number, role="shadow")
    assert [(request, type(outcome)) for request, outcome, _ in setup.answers.replies] == [
        ("r0", ShadowShed),
        ("r1", ShadowShed),
    ]
    assert setup.candidate.held == []
    setup.server.stop()
    assert [request for request, _, _ in setup.answers.replies] == [f"r{number}" for number in range(5)]


outcomes = st.sampled_from([b"ok", ModelFailed("broken"), InvalidInput("no")])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["1.0.0", "2.0.0"]), outcomes, outcomes), max_size=20), st.randoms())
async def test_each_request_is_answered_once_for_any_outcomes(requests, random):
    setup = Setup()
    for number, (version, _, _) in enumerate(requests):
        setup.ask(number, version)
    outcome_of = {f"r{number}": (first, second) for number, (_, first, second) in enumerate(requests)}
    while setup.stable.held or setup.candidate.held:
        version = random.choice([v for v in (setup.stable, setup.candidate) if v.held])
        request, token = version.held[0]
        first, second = outcome_of[request.request_id]
        version.finish(second if token.fallback_for is not None else first)
    assert Counter(request for request, _, _ in setup.answers.replies) == Counter(list(outcome_of))
    assert setup.server.primaries == 0
    for number, (version, first, second) in enumerate(requests):
        [found] = [outcome for request, outcome, _ in setup.answers.replies if request == f"r{number}"]
        assert found is (second if version == "2.0.0" and isinstance(first, ModelFailed) else first)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), max_size=40), st.integers(1, 5))
def test_each_copy_leaves_the_shadow_queue_once(steps, limit):
    left = []
    queue = ShadowQueue(limit, left.append, left.append)
    for number, (busy, now) in enumerate(steps):
        queue.put(number, deadline=now + 3)
        assert len(queue) <= limit
        queue.pump(busy, 2, now)
    queue.shed_all()
    assert sorted(left) == list(range(len(steps)))


async def test_inputs_that_stable_refuses_too_are_not_counted(setup):
    setup.ask()
    setup.candidate.finish(ModelRefusedInput("unknown category"))
    setup.stable.finish(ModelRefusedInput("unknown category"))
    [(_, outcome, _)] = setup.answers.replies
    assert outcome.status == 422
    assert ("2.0.0", "failed") not in setup.counts.seen
    assert not setup.breakers


async def test_a_candidate_that_refuses_inputs_that_stable_accepts_has_failed(setup):
    for number in range(30):
        setup.ask(number)
        if not setup.candidate.held:
            break  # its breaker is open
        setup.candidate.finish(ModelRefusedInput("not fitted for this"))
        setup.stable.finish(b"1")
    assert setup.counts.seen.count(("2.0.0", "failed")) == len([1 for _ in setup.answers.replies])
    assert ("2.0.0", "open") in setup.breakers


async def test_stable_that_refuses_inputs_opens_no_breaker():
    setup = Setup(full())
    for number in range(50):
        setup.ask(number, version="1.0.0")
        setup.stable.finish(ModelRefusedInput("no"))
    assert [outcome.status for _, outcome, _ in setup.answers.replies] == [422] * 50
    assert not setup.breakers


async def test_an_answer_of_another_version_with_the_same_number_is_not_cached(setup):
    setup.ask(1, version="1.0.0", version_id="the one before", fill=3)
    setup.stable.finish(b"1")
    assert setup.answers.fills == [None]
    setup.ask(2, version="1.0.0", version_id=setup.stable.spec.identity, fill=3)
    setup.stable.finish(b"1")
    setup.ask(3, version="1.0.0", fill=3)  # from an older router
    setup.stable.finish(b"1")
    assert setup.answers.fills == [None, 3, 3]
