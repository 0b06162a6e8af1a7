from hypothesis import given
from hypothesis import strategies as st
from modelmesh.schemas.releases import Batching
from modelmesh.workers.batching import BatchQueue

requests = st.lists(st.tuples(st.integers(1, 5), st.sampled_from("ab")), max_size=30)


@given(requests, st.integers(1, 8))
def test_every_request_is_in_exactly_one_batch_that_fits_it(items, size):
    queue = BatchQueue(Batching(max_batch_size=size), slots=1)
    for number, (rows, key) in enumerate(items):
        queue.put(number, rows, key, now=number)
    seen: list[int] = []
    while queue:
        before = len(queue)
        batch = queue.take()
        assert batch
        assert len(queue) == before - len(batch)
        assert len({items[n][1] for n in batch}) == 1
        assert sum(items[n][0] for n in batch) <= size or len(batch) == 1
        assert batch == sorted(batch)
        seen += batch
    assert sorted(seen) == list(range(len(items)))


@given(requests.filter(bool))
def test_the_oldest_request_is_always_in_the_next_batch(items):
    queue = BatchQueue(Batching(max_batch_size=4), slots=1)
    for number, (rows, key) in enumerate(items):
        queue.put(number, rows, key, now=0)
    left = set(range(len(items)))
    while queue:
        oldest = min(left)
        batch = queue.take()
        assert oldest in batch
        left -= set(batch)


def test_an_idle_model_waits_for_nobody():
    queue = BatchQueue(Batching(max_batch_size=8, max_latency_ms=50), slots=2)
    assert queue.due_at(running=0, now=1.0) is None
    queue.put("a", 1, None, now=1.0)
    assert queue.due_at(running=0, now=1.0) == 1.0


def test_beside_a_running_batch_company_is_waited_for_but_not_long():
    queue = BatchQueue(Batching(max_batch_size=2, max_latency_ms=50), slots=2)
    queue.put("a", 1, None, now=1.0)
    assert queue.due_at(running=1, now=1.01) == 1.05
    assert queue.due_at(running=1, now=1.2) == 1.2
    queue.put("b", 1, None, now=1.02)
    assert queue.due_at(running=1, now=1.03) == 1.03, "it is full"
    assert queue.due_at(running=2, now=9.0) is None, "every slot is taken"
