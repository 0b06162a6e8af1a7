"""One page out of several: nothing is lost, nothing is counted twice, and what cannot be read costs nobody the page."""

from modelmesh.telemetry.merged_metrics import merged
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def counted(amount, name="predictions"):
    registry = CollectorRegistry()
    Counter(name, "Requests answered", ("model",), registry=registry).labels("m").inc(amount)
    Histogram("seconds", "Time", registry=registry).observe(amount)
    return registry


def samples(page):
    return {  # without the moments of their making
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def page_of(registry):
    return generate_latest(registry).decode()


def test_each_process_keeps_its_own_count_under_its_name():
    page = merged(counted(1), {"worker-0": page_of(counted(2)), "worker-1": page_of(counted(4))})
    found = samples(page)
    assert {value for (name, *_), value in found.items() if name == "predictions_total"} == {1, 2, 4}
    assert found["predictions_total", ("model", "m"), ("replica", "worker-1")] == 4
    assert found["seconds_count", ("replica", "worker-0")] == 1
    assert page.count(b"# TYPE predictions_total counter") == 1


def test_alone_the_page_is_the_same():
    assert samples(merged(counted(1), {})) == samples(generate_latest(counted(1)))


def test_a_replica_label_of_ones_own_stays_and_an_unreadable_page_is_left_out():
    registry = CollectorRegistry()
    Gauge("replica_breaker_state", "State", ("replica",), registry=registry).labels("worker-7").set(2)
    page = merged(counted(1), {"router": page_of(registry), "broken": "{{ no metrics", "empty": ""})
    found = samples(page)
    assert found["replica_breaker_state", ("replica", "worker-7")] == 2
    assert found["predictions_total", ("model", "m")] == 1


def test_another_kind_of_metric_under_the_same_name_does_not_spoil_the_first():
    registry = CollectorRegistry()
    Gauge("predictions", "A gauge", registry=registry).set(9)
    assert samples(merged(counted(1), {"x": page_of(registry)}))["predictions_total", ("model", "m")] == 1


def test_for_some_models_there_is_nothing_of_others_and_nothing_that_is_counted_over_all():
    own = counted(1)
    Gauge("lag", "Records", ("topic",), registry=own).labels("modelmesh.model.other").set(5)
    Counter("seen", "Requests", ("model",), registry=own).labels("other").inc()
    page = merged(own, {"worker-0": page_of(counted(2))}, models={"m"})
    assert set(samples(page)) == {
        ("predictions_total", ("model", "m")),
        ("predictions_total", ("model", "m"), ("replica", "worker-0")),
    }
    assert b"other" not in page
