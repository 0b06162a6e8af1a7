from hypothesis import given
from hypothesis import strategies as st
from modelmesh.resilience.peak_ewma import PeakEwma


def test_bad_news_counts_at_once_and_good_news_by_and_by():
    average = PeakEwma(1.0, 5.0)
    average.add(1.0, 0.0)
    average.add(50.0, 0.1)
    assert average.read(0.1) == 50.0
    average.add(1.0, 0.2)
    assert 40 < average.read(0.2) < 50
    for tenth in range(3, 60):
        average.add(1.0, tenth / 10)
    assert average.read(5.9) < 2.0


def test_it_fades_when_nothing_comes():
    average = PeakEwma(1.0, 5.0)
    average.add(50.0, 0.0)
    assert 18 < average.read(5.0) < 19
    assert PeakEwma(1.0, 5.0).read(9.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 100)), min_size=1))
def test_it_is_never_above_the_largest_value(steps):
    average, now = PeakEwma(1.0, 5.0), 0.0
    for pause, value in steps:
        now += pause
        average.add(value, now)
        assert 0 <= average.read(now) <= max(value for _, value in steps) + 1e-9
