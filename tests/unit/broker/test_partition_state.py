"""The state of one partition: what may be committed, when it is paused, and which records are tried alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from modelmesh.broker.kafka.partition_state import CLEAN, IN_USE, TRYING, PartitionState, PoisonCheck

LIMIT = 4


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.randoms())
def test_only_a_finished_prefix_is_committable(gaps, random):
    offsets, offset = [], 0
    for gap in gaps:  # compaction leaves holes
        offset += 1 + gap
        offsets.append(offset)
    state = PartitionState(LIMIT)
    state.take(offsets)
    order = offsets.copy()
    random.shuffle(order)
    finished: set[int] = set()
    for offset in order:
        state.finish(offset)
        finished.add(offset)
        beginning = [o for n, o in enumerate(offsets) if set(offsets[: n + 1]) <= finished]
        assert state.next_commit() == ((beginning[-1] + 1, IN_USE) if beginning else None)
        assert len(state) == len(offsets) - len(finished)


def test_finishing_an_unknown_record_changes_nothing():
    state = PartitionState(LIMIT)
    assert not state.finish(7)
    assert (state.position, state.next_commit(), len(state)) == (None, None, 0)


@pytest.mark.parametrize(
    ("offset", "metadata", "end", "expected"),
    [
        (5, CLEAN, 9, None),  # its owner ended cleanly
        (None, IN_USE, 9, None),  # never committed
        (-1, IN_USE, 9, None),
        (9, IN_USE, 9, None),  # nothing was in hand
        (5, IN_USE, 9, PoisonCheck(9)),
        (5, TRYING, 9, PoisonCheck(9, poison=5)),
        (5, TRYING, 5, None),  # the record is no longer in the log
    ],
)
def test_a_commit_gives_the_check_of_its_partition(offset, metadata, end, expected):
    assert PoisonCheck.after(offset, metadata, end) == expected


def test_a_commit_never_goes_backwards_over_a_gap():
    """The last owner's commit could not be read at first; what was handled meanwhile ends before offsets without records."""
    state = PartitionState(10)
    state.take([0])
    state.finish(0)
    assert state.own(None, 2) == (2, IN_USE)
    state.committed(2)
    assert (state.next_commit(), state.position, state.last_commit(), state.uncommitted) == (None, 2, (2, CLEAN), 0)


class Partition(RuleBasedStateMachine):
    """A partition and its successive owners; some records crash the process that handles them."""

    def __init__(self):
        super().__init__()
        self.log: list[int] = []
        self.poison: set[int] = set()
        self.kills: dict[int, int] = {}
        self.dead_letters: set[int] = set()
        self.done: set[int] = set()  # by any owner
        self.commit: tuple[int, str] | None = None
        self.disturbed = False  # by something other than poison
        self.begin()

    def begin(self):
        """Start a new owner at the committed offset."""
        self.state = PartitionState(LIMIT)
        self.next = self.commit[0] if self.commit is not None else 0
        self.in_hand: set[int] = set()
        self.finished: set[int] = set()  # of this owner
        self.checked: list[int] = []  # fetched records that wait to be handled one at a time
        self.fetched: list[int] = []

    def do_commit(self, commit, *, lost=False):
        if commit is None:
            return
        assert self.commit is None or commit[0] >= self.commit[0]
        self.disturbed |= lost
        if not lost:
            self.commit = commit
            self.state.committed(commit[0])

    def handle(self, offset):
        """Return whether the process survives the record."""
        if offset in self.poison:
            self.kills[offset] = self.kills.get(offset, 0) + 1
            self.begin()
            return False
        self.in_hand.add(offset)
        return True

    @rule(gap=st.integers(0, 2), poison=st.integers(0, 5).map(lambda n: n == 0))
    def produce(self, gap, poison):
        self.log.append((self.log[-1] if self.log else -1) + 1 + gap)
        if poison:
            self.poison.add(self.log[-1])

    def waiting(self):
        return [offset for offset in self.log if offset >= self.next]

    @precondition(lambda self: self.waiting() and not self.state.paused)
    @rule(limit=st.integers(1, 6), commits_readable=st.booleans())
    def fetch(self, limit, commits_readable=True):
        records = self.waiting()[:limit]
        if not self.state.owned and commits_readable:
            check = PoisonCheck.after(*self.commit, self.log[-1] + 1) if self.commit is not None else None
            self.do_commit(self.state.own(check, records[0]))
        self.disturbed |= not commits_readable
        self.next = records[-1] + 1
        self.state.take(records)
        self.fetched = records
        if self.state.check is not None:
            self.state.begin_check()
            self.checked = [offset for offset in records if offset < self.state.check.until]
            if not self.checked:
                self.end_check()
            return
        if all(map(self.handle, records)):
            assert self.state.pause_if_full() == (len(self.in_hand) >= LIMIT)

    def end_check(self):
        self.do_commit(self.state.next_commit())
        until = self.state.check.until
        self.state.end_check(self.fetched[-1])
        if all(self.handle(offset) for offset in self.fetched if offset >= until):
            self.state.pause_if_full()

    @precondition(lambda self: self.checked and self.state.may_try(self.checked[0]))
    @rule(lost=st.integers(0, 9).map(lambda n: n == 0))
    def try_the_next_one(self, lost=False):
        offset = self.checked.pop(0)
        assert not self.in_hand, "it is alone"
        if offset == self.state.check.poison:
            self.dead_letters.add(offset)
            self.in_hand.add(offset)
        else:
            self.do_commit(self.state.try_alone(offset), lost=lost)
            if not self.handle(offset):
                return
        if not self.checked and offset == self.state.check.poison:
            self.end_check()

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def finish_one(self, data):
        self.finish(data.draw(st.sampled_from(sorted(self.in_hand))))

    def finish(self, offset):
        alone = self.commit is not None and self.commit == (offset, TRYING) and self.state.check is not None
        self.in_hand.discard(offset)
        self.done.add(offset)
        self.finished.add(offset)
        was_paused = self.state.paused
        resumed = self.state.finish(offset)
        assert resumed == (was_paused and not self.state.paused)
        assert not resumed or len(self.state) == LIMIT // 2
        checking = self.state.check is not None and self.fetched and offset < self.state.check.until
        if checking and not self.checked and self.state.paused and (alone or not self.in_hand):
            self.end_check()

    @precondition(lambda self: self.finished)
    @rule(data=st.data())
    def finish_again(self, data):
        before = len(self.state), self.state.position, self.state.next_commit(), self.state.paused
        assert not self.state.finish(data.draw(st.sampled_from(sorted(self.finished))))
        assert before == (len(self.state), self.state.position, self.state.next_commit(), self.state.paused)

    @rule(lost=st.booleans())
    def commit_now(self, lost=False):
        self.do_commit(self.state.next_commit(), lost=lost)

    @rule()
    def crash(self):
        self.disturbed = True
        self.begin()

    @precondition(lambda self: not self.checked)
    @rule(patient=st.booleans())
    def revoke(self, patient):
        for offset in sorted(self.in_hand) if patient else ():
            self.finish(offset)
        left = bool(self.in_hand)
        last = self.state.last_commit()
        assert last is None or (last[1] == CLEAN) == (not left and self.state.check is None)
        self.do_commit(last)
        self.begin()

    @invariant()
    def no_commit_passes_an_open_record(self):
        if self.commit is not None:
            assert all(offset in self.done for offset in self.log if offset < self.commit[0])

    @invariant()
    def records_in_hand_are_counted(self):
        untried = {offset for offset in self.checked if offset not in self.in_hand}
        assert len(self.state) >= len(self.in_hand | untried)
        assert all(offset in self.state for offset in self.in_hand | untried)

    @invariant()
    def a_mark_stays_while_its_record_is_tried(self):
        if self.state.check is not None and len(self.in_hand) == 1 and self.commit == (min(self.in_hand), TRYING):
            assert self.state.next_commit() is None

    @invariant()
    def poison_crashes_at_most_two_processes_and_no_other_record_is_blamed(self):
        if not self.disturbed:
            assert all(times <= 2 for times in self.kills.values())
            assert self.dead_letters <= self.poison

    def teardown(self):
        """Without further crashes, the owners reach the end of the log."""
        for _ in range(20 * len(self.log) + 20):
            if self.in_hand:
                self.finish(min(self.in_hand))
            elif self.checked:
                self.try_the_next_one()
            elif self.waiting():
                self.fetch(6)
        assert self.done >= set(self.log)
        assert not self.state.paused
        assert len(self.state) == 0


TestPartition = Partition.TestCase
