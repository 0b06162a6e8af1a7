from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from modelmesh.resilience.circuit_breaker import BreakerRules, CircuitBreaker

RULES = BreakerRules(failures=0.5, requests=4, window=10.0, recovery=5.0, probes=2)


@pytest.fixture
def changes():
    return []


@pytest.fixture
def breaker(changes):
    return CircuitBreaker(RULES, changes.append)


def fail(breaker, count, now=0.0):
    for _ in range(count):
        breaker.record(False, now)


def test_it_opens_when_the_share_of_failures_is_reached_and_not_before_there_are_enough(breaker):
    fail(breaker, 3)
    assert breaker.allow(0.0)
    fail(breaker, 1)
    assert not breaker.allow(0.0)
    assert breaker.retry_after(1.0) == 4.0


def test_many_successes_keep_it_closed(breaker):
    breaker.record(True, 0.0, requests=100)
    fail(breaker, 50)
    assert breaker.state(0.0) == "closed"


def test_failures_of_long_ago_are_forgotten(breaker):
    fail(breaker, 3, now=0.0)
    fail(breaker, 3, now=RULES.window + 1)
    assert breaker.state(RULES.window + 1) == "closed"


def test_probes_close_it_again(breaker, changes):
    fail(breaker, 4)
    assert [breaker.allow(5.0) for _ in range(3)] == [True, True, False]
    breaker.record(True, 5.1)
    breaker.record(True, 5.1)
    assert breaker.allow(5.2)
    assert changes == ["open", "half_open", "closed"]


def test_a_failing_probe_opens_it_for_as_long_again(breaker):
    fail(breaker, 4)
    assert breaker.allow(5.0)
    breaker.record(False, 5.1)
    assert not breaker.allow(10.0)
    assert breaker.allow(10.2)


def test_probes_whose_outcome_is_never_told_do_not_keep_it_half_open_for_ever(breaker):
    fail(breaker, 4)
    assert breaker.allow(5.0)
    assert breaker.allow(5.0)
    assert not breaker.allow(9.9)
    assert breaker.allow(10.1)


class BreakerMachine(RuleBasedStateMachine):
    """Any sequence of requests, outcomes and time: what a breaker promises holds after each step."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.changes = []
        self.breaker = CircuitBreaker(RULES, lambda state: self.changes.append((self.now, state)))
        self.passed = 0

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def ask(self):
        state = self.breaker.state(self.now)
        allowed = self.breaker.allow(self.now)
        assert allowed or state != "closed"
        assert not (allowed and state == "open")

    @rule(ok=st.booleans(), requests=st.integers(1, 5))
    def tell(self, ok, requests):
        before = self.breaker.state(self.now)
        self.breaker.record(ok, self.now, requests)
        after = self.breaker.state(self.now)
        if before == "half_open" and not ok:
            assert after == "open"
        if before == "open":
            assert after == "open"  # what was sent before it opened changes nothing
        if ok:
            assert after != "open" or before == "open"

    @precondition(lambda self: self.changes)
    @invariant()
    def transitions_are_those_of_a_breaker(self):
        states = ["closed", *(state for _, state in self.changes)]
        allowed = {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")}
        assert set(pairwise(states)) <= allowed
        opened = [at for at, state in self.changes if state == "open"]
        tried = [at for at, state in self.changes if state == "half_open"]
        assert all(half - full >= RULES.recovery - 1e-9 for full, half in zip(opened, tried, strict=False))


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
