"""Merge several processes' metrics into one page; samples of other processes get a `replica` label."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

LABEL = "replica"


def merged(own: CollectorRegistry, others: Mapping[str, str], models: Collection[str] = ()) -> bytes:
    """Return one page for this process and `others` (pages by replica name).

    Each sample of another process gets the label `replica`. A malformed page is left out. `models`: only samples
    with one of them as label `model`, since totals would reveal other models' traffic (empty: all samples).
    """
    families: dict[str, Metric] = {}
    for family in own.collect():
        families[family.name] = _copy(family, family.samples)
    for replica, page in others.items():
        for family in _read(page):
            known = families.get(family.name)
            if known is None:
                known = families[family.name] = _copy(family, [])
            if known.type != family.type:
                continue  # two types under one name: the first one is kept
            known.samples += [
                sample._replace(labels={**sample.labels, LABEL: sample.labels.get(LABEL, replica)})
                for sample in family.samples
            ]
    if models:
        for family in families.values():
            family.samples = [sample for sample in family.samples if sample.labels.get("model") in models]
        families = {name: family for name, family in families.items() if family.samples}
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)


def _read(page: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(page))
    except ValueError:
        return []


def _copy(family: Metric, samples: Iterable[Sample]) -> Metric:
    copy = Metric(family.name, family.documentation, family.type, family.unit)
    copy.samples = list(samples)
    return copy


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)
