"""The control plane's metrics, computed at each scrape from the topics that it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from ..broker.kafka.topic_follower import TopicFollower
from ..broker.views.releases import ReleasesView
from ..broker.views.statistics import StatisticsView
from ..schemas.payloads.read_events import read_event
from ..schemas.settings.mesh import MeshSettings
from ..telemetry.scraped import Values, add_scraped

# A table of thousands of columns must not become thousands of time series.
MAX_FEATURES = 100


class ControlMetrics:
    """Releases, canaries, drift, and counts of events since the start of this process."""

    def __init__(self, settings: MeshSettings, registry: CollectorRegistry) -> None:
        self._releases = ReleasesView(settings, None)
        self._statistics = StatisticsView(settings)
        self._events = TopicFollower(settings, settings.topics().events, self._on_event, from_end=True)
        self._event_counts: Counter[str] = Counter()
        self._rollbacks: Counter[str] = Counter()
        version = ("model", "version")
        for kind, name, help, labels, read in (
            ("gauge", "active_deployments", "Models by the strategy of their release", ("strategy",), self._active),
            ("gauge", "canary_error_rate", "Share of the candidate's requests that failed", version, self._canaries),
            ("gauge", "canary_percentage", "The candidate's share of the traffic", version, self._percentages),
            ("gauge", "drift_psi", "Population stability index", (*version, "feature"), self._drift),
            ("gauge", "drifting", "Whether a version's inputs drift", version, self._drifting),
            ("gauge", "accuracy", "Share of correct answers among the labelled rows of 24 h", version, self._accuracy),
            ("counter", "rollbacks", "Canaries rolled back", ("model",), self._rolled_back),
            ("counter", "events", "Events by kind", ("kind",), self._kinds),
        ):
            add_scraped(registry, kind, name, help, labels, read)  # type: ignore[arg-type]

    def parts(self) -> dict[str, ReleasesView | StatisticsView | TopicFollower]:
        """Return the background tasks by name."""
        return {
            "metrics' releases": self._releases,
            "metrics' statistics": self._statistics,
            "metrics' events": self._events,
        }

    def _on_event(self, record: ConsumerRecord) -> None:
        try:
            event = read_event(record.value or b"")
        except ValidationError:
            return  # the history reports it
        self._event_counts[event.kind] += 1
        if event.kind == "canary.rolled_back":
            self._rollbacks[event.model] += 1

    def _active(self) -> Values:
        strategies = Counter(release.strategy for release in self._releases.releases.values())
        return [((strategy,), float(strategies[strategy])) for strategy in ("full", "canary", "shadow", "ab")]

    def _canaries(self) -> Iterator[tuple[tuple[str, str], float]]:
        for name, release in self._releases.releases.items():
            candidate, document = release.variant("candidate"), self._statistics.of_trial(release, "release")
            if candidate is None or document is None:
                continue
            figures = document["versions"].get(candidate.version, {})
            if figures.get("failure_rate") is not None:
                yield (name, candidate.version), float(figures["failure_rate"])

    def _percentages(self) -> Iterator[tuple[tuple[str, str], float]]:
        for name, release in self._releases.releases.items():
            if (candidate := release.variant("candidate")) is not None:
                yield (name, candidate.version), 100 * candidate.weight

    def _drift(self) -> Iterator[tuple[tuple[str, str, str], float]]:
        for name, version, document in self._watched():
            for feature in document["features"][:MAX_FEATURES]:
                yield (name, version, str(feature["feature"])), float(feature["psi"])

    def _drifting(self) -> Iterator[tuple[tuple[str, str], float]]:
        for name, version, document in self._watched():
            yield (name, version), float(bool(document["drifting"]))

    def _accuracy(self) -> Iterator[tuple[tuple[str, str], float]]:
        for name, document in self._statistics.models("accuracy").items():
            if name not in self._releases.releases:
                continue  # removed; the recorder may have published it once more
            for version, windows in document["versions"].items():
                if (accuracy := windows.get("24 h", {}).get("accuracy")) is not None:
                    yield (name, version), float(accuracy)

    def _watched(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for name, document in self._statistics.models("drift").items():
            release = self._releases.releases.get(name)
            for version, figures in document["versions"].items():
                if release is not None and version in release.versions:
                    yield name, version, figures

    def _rolled_back(self) -> Values:
        # From 0 for every model: Prometheus sees no increase if a counter first appears at 1.
        return [((name,), float(self._rollbacks[name])) for name in self._releases.releases]

    def _kinds(self) -> Values:
        return [((kind,), float(count)) for kind, count in self._event_counts.items()]
