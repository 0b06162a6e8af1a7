import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from modelmesh.router.balancer import RUN_LENGTH, RUN_SECONDS, ReplicaBacklog, RunBalancer, Target, choose


def target(name, backlog_ms=0.0, service_ms=1.0, **options):
    return Target(name, 0, ReplicaBacklog(backlog_ms, service_ms, service_ms, 0.0), **options)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.integers())
def test_the_longest_wait_of_several_is_never_chosen_alone(backlogs, seed):
    targets = [target(str(n), backlog) for n, backlog in enumerate(backlogs)]
    chosen = choose(targets, random.Random(seed).randrange, 0.0)
    others = [other.work.wait_ms(0.0) for other in targets if other is not chosen]
    assert len(targets) == 1 or any(wait >= chosen.work.wait_ms(0.0) for wait in others)


def test_a_wait_is_what_is_in_hand_and_the_service_and_goes_down_with_time():
    work = ReplicaBacklog(30.0, 20.0, 5.0, at=1.0)
    assert work.wait_ms(1.0) == 50.0
    assert round(work.wait_ms(1.01), 6) == 40.0
    assert work.wait_ms(2.0) == 20.0
    work.add(1.01)
    assert round(work.wait_ms(1.01), 6) == 45.0


def test_a_run_keeps_its_target_for_a_while_and_so_many_requests():
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


def test_a_slow_replica_gets_a_request_only_when_the_fast_one_is_as_far_behind():
    fast, slow = target("fast", service_ms=2.0), target("slow", service_ms=20.0)
    balancer = RunBalancer([fast, slow], random.Random(3).randrange)
    # One request every 5 ms: the fast one is always done with the one before.
    assert {balancer.choose(number * 0.005).replica for number in range(1000)} == {"fast"}
    # Twenty at once: they wait 18 ms and more at the fast one, and the slow one helps.
    assert {balancer.choose(10.0 + number * 0.0021).replica for number in range(200)} == {"fast"}
    burst = [balancer.choose(20.0 + number * RUN_SECONDS / 1e3).replica for number in range(2 * RUN_LENGTH)]
    assert "slow" in burst


def test_a_cold_replica_gets_the_share_that_its_warmth_allows():
    warm, cold = target("warm", backlog_ms=1.0), target("cold", warmth=0.25)
    counts = Counter(choose([warm, cold], random.Random(seed).randrange, 0.0).replica for seed in range(2000))
    assert 0.2 < counts["cold"] / 2000 < 0.3


def test_a_replica_that_had_the_request_gets_it_again_only_when_there_is_nobody_else():
    both = RunBalancer([target("a"), target("b")], random.Random(4).randrange)
    assert {both.choose(float(number), avoid=("a",)).replica for number in range(20)} == {"b"}
    assert RunBalancer([target("a")], random.Random(4).randrange).choose(0.0, avoid=("a",)).replica == "a"


def test_a_probing_replica_gets_so_many_requests_and_no_more():
    balancer = RunBalancer([target("a", probes=4)], random.Random(5).randrange)
    chosen = [balancer.choose(0.0) for _ in range(6)]
    assert [found is None for found in chosen] == [False] * 4 + [True] * 2
