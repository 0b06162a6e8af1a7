from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from modelmesh.producers.request_partitions import STICKY, RequestPartitions
from modelmesh.schemas.payloads.replicas import Heartbeat


def router(name, *partitions):
    return Heartbeat(replica=name, role="router", epoch="e", at=0.0, pid=1, partitions=partitions)


def test_requests_go_to_live_routers_or_to_any_partition_if_there_are_none():
    partitions = RequestPartitions(8, 0)
    worker = Heartbeat(replica="w", role="worker", epoch="e", at=0.0, pid=1, partitions=(7,))
    assert {partitions.choose([router("a", 0, 1), worker]) for _ in range(40 * STICKY)} == {0, 1}
    assert {partitions.choose([]) for _ in range(40 * STICKY)} == set(range(8))


def test_a_retry_goes_to_another_router_or_else_to_another_partition():
    partitions = RequestPartitions(8, 0)
    assert {partitions.choose([router("a", 0, 1), router("b", 2, 3)], tried=[0]) for _ in range(40 * STICKY)} == {2, 3}
    assert {partitions.choose([router("a", 0, 1)], tried=[0]) for _ in range(40 * STICKY)} == {1}
    assert partitions.choose([router("a", 0)], tried=[0]) == 0


@given(st.integers(0, 2**32), st.lists(st.integers(0, 7), max_size=3))
def test_a_partition_is_always_found(start, tried):
    live = [router("a", 0, 1, 2, 3), router("b", 4, 5, 6, 7)]
    assert 0 <= RequestPartitions(8, start).choose(live, tried) < 8


def test_successive_requests_share_a_partition():
    partitions = RequestPartitions(8, 0)
    chosen = [partitions.choose([router("a", *range(8))]) for _ in range(8 * STICKY)]
    assert sum(a != b for a, b in pairwise(chosen)) <= 8
