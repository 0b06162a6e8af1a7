import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from modelmesh.router.balancer import RUN_LENGTH, RUN_SECONDS, ReplicaBacklog, RunBalancer, Target, choose


def target(name, backlog_ms=0.0, service_ms=1.0, **options):
    return Target(name, 0, ReplicaBacklog(backlog_ms, service_ms, service_ms, 0.0), **options)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.integers())
def test_the_single_longest_wait_is_never_chosen(backlogs, seed):
    targets = [target(str(n), backlog) for n, backlog in enumerate(backlogs)]
    chosen = choose(targets, random.Random(seed).randrange, 0.0)
    others = [other.backlog.wait_ms(0.0) for other in targets if other is not chosen]
    assert len(targets) == 1 or any(wait >= chosen.backlog.wait_ms(0.0) for wait in others)


def test_a_wait_is_the_backlog_plus_the_service_time_and_falls_with_time():
    backlog = ReplicaBacklog(30.0, 20.0, 5.0, at=1.0)
    assert backlog.wait_ms(1.0) == 50.0
    assert round(backlog.wait_ms(1.01), 6) == 40.0
    assert backlog.wait_ms(2.0) == 20.0
    backlog.add(1.01)
    assert round(backlog.wait_ms(1.01), 6) == 45.0


def test_a_run_ends_after_a_time_or_a_number_of_requests():
    balancer = RunBalancer([target("a"), target("b")], random.Random(1).randrange)
    first = [balancer.choose(0.0) for _ in range(RUN_LENGTH)]
    assert len({chosen.replica for chosen in first}) == 1
    # Its wait has grown by the run, so the next run goes to the other; by time too.
    assert balancer.choose(0.0) is not first[0]
    assert balancer.choose(RUN_SECONDS) is not first[0]


def test_equal_replicas_share_evenly():
    balancer = RunBalancer([target(str(n)) for n in range(4)], random.Random(2).randrange)
    counts = Counter(balancer.choose(number * 0.001).replica for number in range(4000))
    assert max(counts.values()) - min(counts.values()) <= 4 * RUN_LENGTH


def test_a_slow_replica_gets_requests_only_when_the_fast_one_has_a_backlog():
    fast, slow = target("fast", service_ms=2.0), target("slow", service_ms=20.0)
    balancer = RunBalancer([fast, slow], random.Random(3).randrange)
    # One request every 5 ms: the fast replica has always finished the previous one.
    assert {balancer.choose(number * 0.005).replica for number in range(1000)} == {"fast"}
    # A burst: the wait at the fast replica exceeds 18 ms, so the slow one gets some.
    assert {balancer.choose(10.0 + number * 0.0021).replica for number in range(200)} == {"fast"}
    burst = [balancer.choose(20.0 + number * RUN_SECONDS / 1e3).replica for number in range(2 * RUN_LENGTH)]
    assert "slow" in burst


def test_a_cold_replica_gets_the_share_that_its_warmth_allows():
    warm, cold = target("warm", backlog_ms=1.0), target("cold", warmth=0.25)
    counts = Counter(choose([warm, cold], random.Random(seed).randrange, 0.0).replica for seed in range(2000))
    assert 0.2 < counts["cold"] / 2000 < 0.3


def test_a_replica_that_had_the_request_gets_it_again_only_if_there_is_no_other():
    both = RunBalancer([target("a"), target("b")], random.Random(4).randrange)
    assert {both.choose(float(number), avoid=("a",)).replica for number in range(20)} == {"b"}
    assert RunBalancer([target("a")], random.Random(4).randrange).choose(0.0, avoid=("a",)).replica == "a"


def test_a_half_open_replica_gets_only_its_probes():
    balancer = RunBalancer([target("a", probes=4)], random.Random(5).randrange)
    chosen = [balancer.choose(0.0) for _ in range(6)]
    assert [found is None for found in chosen] == [False] * 4 + [True] * 2
