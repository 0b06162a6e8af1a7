import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from modelmesh.router.balancer import RUN_LENGTH, RUN_SECONDS, RunBalancer, Target, choose


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.integers())
def test_the_most_loaded_of_several_is_never_chosen_alone(waiting, seed):
    targets = [Target(str(n), n, count, 1.0) for n, count in enumerate(waiting)]
    chosen = choose(targets, random.Random(seed).randrange)
    assert len(targets) == 1 or any(other.load >= chosen.load for other in targets if other is not chosen)


def test_load_is_waiting_times_service():
    assert Target("slow", 0, 3, 20.0).load == 80.0
    assert Target("new", 0, 0, 0.0).load > 0


def test_a_run_keeps_its_target_for_a_while_and_so_many_requests():
    targets = [Target("a", 0, 0, 1.0), Target("b", 1, 0, 1.0)]
    balancer = RunBalancer(targets, random.Random(1).randrange)
    first = [balancer.choose(0.0) for _ in range(RUN_LENGTH)]
    assert len({target.replica for target in first}) == 1
    # Its load has grown by the run, so the next run goes to the other; by time too.
    assert balancer.choose(0.0) is not first[0]
    later = balancer.choose(RUN_SECONDS)
    assert later is not first[0]


def test_equal_replicas_share_evenly():
    targets = [Target(str(n), n, 0, 1.0) for n in range(4)]
    balancer = RunBalancer(targets, random.Random(2).randrange)
    counts = Counter(balancer.choose(number * 0.001).replica for number in range(4000))
    assert max(counts.values()) - min(counts.values()) <= 4 * RUN_LENGTH
