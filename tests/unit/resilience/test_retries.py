from hypothesis import given
from hypothesis import strategies as st
from modelmesh.resilience.retries import RetryBudget, RetryDelay


def middle():
    return 0.5


def test_the_delay_is_learned_from_the_slowest_of_the_last_answers():
    delay = RetryDelay(0.1, middle)
    assert delay.before(2) == 0.1
    for _ in range(200):
        delay.answered(0.3)
    assert round(delay.before(2), 6) == 0.6
    assert round(delay.before(3), 6) == 1.2  # doubled each time
    for _ in range(600):
        delay.answered(0.01)
    assert delay.before(2) == 0.1  # and never below the least


@given(st.floats(0, 1, exclude_max=True), st.lists(st.floats(0, 5), max_size=100))
def test_jitter_stays_within_a_quarter_either_way(uniform, latencies):
    steady, jittered = RetryDelay(0.1, middle), RetryDelay(0.1, lambda: uniform)
    for seconds in latencies:
        steady.answered(seconds)
        jittered.answered(seconds)
    assert 0.749 <= jittered.before(2) / steady.before(2) <= 1.251


@given(st.lists(st.tuples(st.floats(0, 0.5), st.booleans()), max_size=300))
def test_retries_never_exceed_what_requests_paid_and_the_reserve(steps):
    budget = RetryBudget(0.2, 1.0)
    now, requests, retries = 0.0, 0, 0
    for pause, is_request in steps:
        now += pause
        if is_request:
            budget.request(now)
            requests += 1
        else:
            retries += budget.withdraw(now)
    # The reserve is there at once for ten seconds, and comes back second by second.
    assert retries <= 0.2 * requests + 10 + now + 1


def test_when_everything_fails_only_a_share_is_sent_again():
    budget = RetryBudget(0.2, 0.0)
    sent_again = 0
    for number in range(3000):  # 300 a second
        budget.request(number / 300)
        sent_again += budget.withdraw(number / 300)
    assert 500 <= sent_again <= 601
