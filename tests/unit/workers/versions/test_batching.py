from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from modelmesh.schemas.payloads.releases import Batching
from modelmesh.workers.versions.batching import BATCH_HANDICAP, BatchQueue

requests = st.lists(st.tuples(st.integers(1, 5), st.sampled_from("ab")), max_size=30)


@given(requests, st.integers(1, 8))
def test_every_request_is_in_exactly_one_batch_within_the_limits(items, size):
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


def test_an_idle_model_gets_a_batch_immediately():
    queue = BatchQueue(Batching(max_batch_size=8, max_latency_ms=50), slots=2)
    assert queue.due_at(running=0, now=1.0) is None
    queue.put("a", 1, None, now=1.0)
    assert queue.due_at(running=0, now=1.0) == 1.0


def test_while_a_batch_runs_requests_wait_for_others_up_to_max_latency():
    queue = BatchQueue(Batching(max_batch_size=2, max_latency_ms=50), slots=2)
    queue.put("a", 1, None, now=1.0)
    assert queue.due_at(running=1, now=1.01) == 1.05
    assert queue.due_at(running=1, now=1.2) == 1.2
    queue.put("b", 1, None, now=1.02)
    assert queue.due_at(running=1, now=1.03) == 1.03, "it is full"
    assert queue.due_at(running=2, now=9.0) is None, "every slot is taken"


def test_interactive_requests_go_first_without_starving_batch_ones():
    queue = BatchQueue(Batching(max_batch_size=2), slots=1)
    queue.put("batch 1", 1, None, now=0.0, interactive=False)
    queue.put("batch 2", 1, None, now=0.1, interactive=False)
    queue.put("now", 1, None, now=0.2)
    assert queue.take() == ["now", "batch 1"]
    queue.put("later", 1, None, now=0.1 + BATCH_HANDICAP + 0.1)
    assert queue.take() == ["batch 2", "later"]


class BatcherMachine(RuleBasedStateMachine):
    """Any sequence of requests, batches and time: nothing is lost or duplicated, or waits while a slot is free."""

    def __init__(self):
        super().__init__()
        self.batching = Batching(max_batch_size=4, max_latency_ms=50)
        self.queue = BatchQueue(self.batching, slots=2)
        self.now, self.number, self.running = 0.0, 0, 0
        self.waiting: dict[int, tuple[float, int, str]] = {}

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds):
        self.now += seconds

    @rule(rows=st.integers(1, 6), key=st.sampled_from("ab"), interactive=st.booleans())
    def put(self, rows, key, interactive):
        self.queue.put(self.number, rows, key, self.now, interactive=interactive)
        self.waiting[self.number] = (self.now + (0 if interactive else BATCH_HANDICAP), rows, key)
        self.number += 1

    @precondition(lambda self: self.waiting and self.running < 2)
    @rule()
    def run(self):
        due = self.queue.due_at(self.running, self.now)
        assert due is not None
        assert due <= self.now + self.batching.max_latency_ms / 1000
        batch = self.queue.take()
        taken = [self.waiting.pop(number) for number in batch]
        assert len({key for _, _, key in taken}) == 1
        assert sum(rows for _, rows, _ in taken) <= 4 or len(batch) == 1
        # No waiting request ranks before the first of the batch.
        assert all(rank >= taken[0][0] for rank, _, _ in self.waiting.values())
        self.running += 1

    @precondition(lambda self: self.running)
    @rule()
    def finish(self):
        self.running -= 1

    @invariant()
    def waiting_requests_are_counted(self):
        assert len(self.queue) == len(self.waiting)
        due = self.queue.due_at(self.running, self.now)
        assert (due is None) == (not self.waiting or self.running == 2)


BatcherMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBatcherMachine = BatcherMachine.TestCase


widths = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=1, max_size=30)


@given(widths, st.integers(1, 200))
def test_a_batch_stays_within_its_bytes_with_every_row_as_wide_as_the_widest(items, limit):
    queue = BatchQueue(Batching(max_batch_size=1000), slots=1, max_bytes=limit)
    for number, (rows, row_bytes) in enumerate(items):
        queue.put(number, rows, None, now=number, row_bytes=row_bytes)
    seen = []
    while queue:
        batch = queue.take()
        padded = sum(items[n][0] for n in batch) * max(items[n][1] for n in batch)
        assert padded <= limit or len(batch) == 1
        seen += batch
    assert seen == list(range(len(items)))


def test_a_long_text_does_not_pad_three_hundred_short_ones_to_its_length():
    queue = BatchQueue(Batching(max_batch_size=512), slots=1)
    for number in range(301):
        queue.put(number, 1, None, now=number, row_bytes=4 * 300_000 if number == 150 else 20)
    sizes = []
    while queue:
        sizes.append(len(queue.take()))
    assert sizes[0] == 150
    assert sizes[1] * 4 * 300_000 <= 16 * 1024 * 1024
    assert sum(sizes) == 301
