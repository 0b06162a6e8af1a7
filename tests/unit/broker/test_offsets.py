from hypothesis import given
from hypothesis import strategies as st
from modelmesh.broker.kafka.offsets import OffsetTracker


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.randoms())
def test_only_a_finished_beginning_is_committable(gaps, random):
    offsets, offset = [], 0
    for gap in gaps:  # compaction leaves holes
        offset += 1 + gap
        offsets.append(offset)
    tracker = OffsetTracker()
    for offset in offsets:
        tracker.take(offset)
    order = offsets.copy()
    random.shuffle(order)
    finished: set[int] = set()
    for offset in order:
        tracker.finish(offset)
        finished.add(offset)
        beginning = [o for n, o in enumerate(offsets) if set(offsets[: n + 1]) <= finished]
        assert tracker.committable == (beginning[-1] + 1 if beginning else None)
        assert len(tracker) == len(offsets) - len(finished)


def test_finishing_what_was_never_taken_changes_nothing():
    tracker = OffsetTracker()
    tracker.finish(7)
    assert tracker.committable is None
    assert len(tracker) == 0
