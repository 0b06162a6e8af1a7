"""Metrics read at scrape time from objects that keep their own counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Kind = Literal["counter", "gauge"]
Values = Iterable[tuple[Sequence[str], float]]


class _ScrapedMetric(Collector):
    def __init__(self, kind: Kind, name: str, help: str, labels: Sequence[str], read: Callable[[], Values]) -> None:
        self._kind, self._name, self._help, self._labels, self._read = kind, name, help, labels, read

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Return the metric without values: its source may not be ready at registration."""
        yield self._family()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Return the values as they are now."""
        family = self._family()
        for labels, value in self._read():
            family.add_metric(labels, value)
        yield family

    def _family(self) -> CounterMetricFamily | GaugeMetricFamily:
        family = CounterMetricFamily if self._kind == "counter" else GaugeMetricFamily
        return family(self._name, self._help, labels=self._labels)


def add_scraped(
    registry: CollectorRegistry, kind: Kind, name: str, help: str, labels: Sequence[str], read: Callable[[], Values]
) -> None:
    """Register a metric whose label values and values `read` returns."""
    registry.register(_ScrapedMetric(kind, name, help, labels, read))


def add_scraped_number(
    registry: CollectorRegistry, kind: Kind, name: str, help: str, read: Callable[[], float]
) -> None:
    """Register a metric without labels."""
    add_scraped(registry, kind, name, help, (), lambda: [((), read())])


def add_lag(registry: CollectorRegistry, read: Callable[[], Values]) -> None:
    """Register a role's consumer lag in records by topic and partition; `read` returns it."""
    add_scraped(registry, "gauge", "consumer_lag", "Records that wait to be finished", ("topic", "partition"), read)


def add_not_understood(registry: CollectorRegistry, read: Callable[[], Values]) -> None:
    """Register the models whose newest release is of another release of ModelMesh, so that an older one goes on."""
    help = "Models whose newest release has values that this role does not know"
    add_scraped(registry, "gauge", "releases_not_understood", help, ("model",), read)
