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


def test_the_breaker_of_a_replica_that_does_not_answer_opens_and_closes_again():
    found, changes = breakers()
    for _ in range(4):
        found.unanswered("a", 0.0)
    assert not found.allows("a", 0.0)
    assert found.allows("b", 0.0)
    assert found.allows("a", 5.0)
    found.on_heartbeat(beat(1), 5.1)
    found.on_heartbeat(beat(3), 5.2)
    assert changes == [("a", "open"), ("a", "half_open"), ("a", "closed")]


def test_many_answers_outweigh_a_few_retries():
    found, _ = breakers()
    found.unanswered("a", 0.0)
    found.on_heartbeat(beat(100), 0.1)
    for _ in range(20):
        found.unanswered("a", 0.2)
    assert found.allows("a", 0.2)


def test_a_restarted_replica_has_a_closed_breaker():
    found, _ = breakers()
    found.on_heartbeat(beat(5), 0.0)
    for _ in range(4):
        found.unanswered("a", 0.0)
    found.on_heartbeat(beat(0, epoch="f"), 0.1)
    assert found.allows("a", 0.1)
