from hypothesis import given
from hypothesis import strategies as st
from modelmesh.router.single_flight import SingleFlight

steps = st.lists(
    st.tuples(st.sampled_from(["join", "complete", "expire"]), st.integers(0, 2), st.floats(0, 0.4)), max_size=60
)


@given(steps)
def test_each_request_is_sent_on_or_waits_and_comes_out_once(moves):
    flights, now = SingleFlight(timeout=1.0), 0.0
    waiting, came_out = {}, []
    for number, (kind, key, passed) in enumerate(moves):
        now += passed
        if kind == "join":
            if not flights.join(key, number, now):
                waiting[number] = key, now
        elif kind == "complete":
            completed = flights.complete(key)
            assert all(waiting[waiter][0] == key for waiter in completed)
            assert set(completed) == {waiter for waiter, (its, _) in waiting.items() if its == key}
            came_out += completed
        else:
            came_out += flights.overdue(now)
        waiting = {waiter: place for waiter, place in waiting.items() if waiter not in came_out}
        assert len(flights) == len(waiting)
    came_out += flights.overdue(now + 1.0)
    assert len(came_out) == len(set(came_out))
    assert not len(flights)


def test_the_first_is_sent_on_and_none_waits_longer_than_the_timeout():
    flights = SingleFlight(timeout=1.0)
    assert flights.join("a", "first", 0.0)
    assert not flights.join("a", "second", 0.5)
    assert flights.overdue(0.9) == []
    assert flights.join("a", "third", 1.0), "the first one's answer has timed out"
    assert flights.overdue(1.0) == ["second"]
    assert flights.join("a", "fourth", 1.1), "a new flight"
