import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.stats.log_histogram import ACCURACY, add_value, bin_of, bin_value, count_above, merge_bins, quantile

values = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60)


def sketch(numbers):
    bins = {}
    for number in numbers:
        add_value(bins, number)
    return bins


def merged(sketches):
    total = {}
    for one in sketches:
        merge_bins(total, one)
    return total


@given(values, st.floats(0.01, 1))
def test_a_quantile_is_within_the_accuracy(numbers, share):
    exact = np.quantile(numbers, share, method="inverted_cdf")
    assert quantile(sketch(numbers), share) == pytest.approx(exact, rel=ACCURACY * 1.001)


@given(st.lists(values, min_size=1, max_size=6), st.randoms())
def test_merging_in_any_order_and_any_split_gives_the_same(parts, random):
    together = sketch([number for part in parts for number in part])
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert merged(map(sketch, shuffled)) == together
    middle = len(parts) // 2
    assert merged([merged(map(sketch, parts[:middle])), merged(map(sketch, parts[middle:]))]) == together


@given(values, st.floats(0.01, 1e6))
def test_what_lies_above_a_bin_is_counted(numbers, limit):
    number = bin_of(limit)
    # The bin's value lies 2 % below its upper edge.
    edge = bin_value(number) / (1 - ACCURACY)
    clear = [value for value in numbers if abs(value - edge) > 1e-9 * edge]
    assert count_above(sketch(clear), number) == sum(value > edge for value in clear)


def test_nothing_has_no_quantile():
    assert quantile({}, 0.5) is None
