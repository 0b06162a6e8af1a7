from modelmesh.resilience.circuit_breaker import BreakerRules
from modelmesh.router.replica_breakers import ReplicaBreakers
from modelmesh.schemas.payloads.replicas import Heartbeat, ModelLoad

RULES = BreakerRules(failures=0.5, requests=4, window=10.0, recovery=5.0, probes=2)


def beat(answered, epoch="e", leaving=False):
    models = {"m": ModelLoad(answered=answered)}
    return Heartbeat(replica="a", role="worker", epoch=epoch, at=0.0, pid=1, models=models, leaving=leaving)


def breakers():
    changes = []
    return ReplicaBreakers(RULES, lambda replica, state: changes.append((replica, state))), changes


def test_a_replica_that_does_not_answer_is_left_alone_then_tried_again():
    found, changes = breakers()
    for _ in range(4):
        found.unanswered("a", 0.0)
    assert not found.allows("a", 0.0)
    assert found.allows("b", 0.0)
    assert found.allows("a", 5.0)
    found.heard(beat(1), 5.1)
    found.heard(beat(3), 5.2)
    assert changes == [("a", "open"), ("a", "half_open"), ("a", "closed")]


def test_what_it_answers_outweighs_a_few_retries():
    found, _ = breakers()
    found.unanswered("a", 0.0)
    found.heard(beat(100), 0.1)
    for _ in range(20):
        found.unanswered("a", 0.2)
    assert found.allows("a", 0.2)


def test_a_new_life_begins_with_a_closed_breaker():
    found, _ = breakers()
    found.heard(beat(5), 0.0)
    for _ in range(4):
        found.unanswered("a", 0.0)
    found.heard(beat(0, epoch="f"), 0.1)
    assert found.allows("a", 0.1)
