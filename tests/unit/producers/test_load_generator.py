import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.producers.load_generator import LoadGenerator, percentile
from modelmesh.schemas.errors import NoWorker


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_a_value_with_that_share_at_or_below(values, rank):
    ordered = sorted(values)
    found = percentile(ordered, rank)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= len(ordered) * rank / 100 - 1e-9


def test_no_values_have_no_percentile():
    assert percentile([], 99) == 0.0


async def test_a_closed_loop_keeps_its_concurrency_and_stops_at_its_number_of_requests():
    now, peak, numbers = 0, 0, []

    async def ask(number):
        nonlocal now, peak
        numbers.append(number)
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0)
        now -= 1
        return 3

    report = await LoadGenerator(ask).in_flight(7, requests=50)
    assert (peak, sorted(numbers)) == (7, list(range(50)))
    assert report.summary()["answered"] == 50
    assert report.summary()["mean_batch"] == 3.0


async def test_an_open_loop_does_not_wait_for_answers_and_counts_from_the_due_time():
    gate = asyncio.Event()
    waiting = 0

    async def ask(number):
        nonlocal waiting
        waiting += 1
        if waiting == 20:
            gate.set()  # only after all were sent without any answer
        await gate.wait()
        return 1

    report = await LoadGenerator(ask).at_rate(400, seconds=0.05)
    assert report.answered == 20
    # The first was due 19 intervals before the last.
    assert max(report.latencies) - min(report.latencies) == pytest.approx(19 / 400, abs=0.02)


async def test_errors_are_counted_by_code():
    async def ask(number):
        if number % 2:
            raise NoWorker
        return 1

    report = await LoadGenerator(ask).in_flight(1, requests=10)
    assert report.errors == {NoWorker.code: 5}
    assert report.answered == 5
