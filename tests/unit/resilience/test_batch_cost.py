import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.resilience.batch_cost import BatchCost


@given(
    st.floats(0.1, 100), st.floats(0.01, 10), st.lists(st.integers(1, 64), min_size=2).filter(lambda s: len(set(s)) > 1)
)
def test_a_line_is_found(fixed, each, sizes):
    cost = BatchCost()
    for size in sizes:
        cost.add(size, fixed + each * size)
    assert cost.full_batch(64) == pytest.approx(fixed / 64 + each, rel=1e-3)


def test_of_batches_of_one_size_all_is_the_batch_and_nothing_is_known_at_first():
    cost = BatchCost()
    assert cost.full_batch(64) == 0.0
    for _ in range(10):
        cost.add(1, 400.0)
    assert cost.full_batch(64) == pytest.approx(6.25)


def test_what_changes_is_learned_anew():
    cost = BatchCost()
    for size in range(1, 200):
        cost.add(size % 8 + 1, 1.0 + size % 8)
    for size in range(1, 400):
        cost.add(size % 8 + 1, 10.0 * (1.0 + size % 8))
    assert cost.full_batch(8) == pytest.approx(10.0, rel=0.01)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 1000)), min_size=1))
def test_a_cost_is_never_negative(batches):
    cost = BatchCost()
    for size, milliseconds in batches:
        cost.add(size, milliseconds)
    assert cost.full_batch(64) >= 0
