"""Build the dashboard's state from the topics that the gateway follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...broker.views.statistics import StatisticsView
from ...schemas.payloads.releases import Release
from ...schemas.payloads.replicas import Heartbeat


def dashboard_state(
    releases: Mapping[str, Release],
    statistics: StatisticsView,
    beats: Iterable[Heartbeat],
    now: float,
    sees: Callable[[str], bool],
) -> dict[str, Any]:
    """Return the state: every model with its monitoring results, and every live replica.

    Only models for which `sees` is true are included, in the figures of replicas too.
    """
    return {
        "at": now,
        "models": [_model(release, statistics) for name, release in sorted(releases.items()) if sees(name)],
        "replicas": [_replica(beat, sees) for beat in sorted(beats, key=lambda beat: (beat.role, beat.replica))],
    }


def _model(release: Release, statistics: StatisticsView) -> dict[str, Any]:
    name = release.model
    trial_statistics = statistics.of_trial(release, "release")
    return {
        "name": name,
        "id": str(release.id),
        "strategy": release.strategy,
        "generation": release.generation,
        "variants": [
            {"name": v.name, "role": v.role, "version": v.version, "weight": v.weight} for v in release.variants
        ],
        "versions": trial_statistics["versions"] if trial_statistics else {},
        "comparisons": trial_statistics.get("comparisons", {}) if trial_statistics else {},
        "decision": trial_statistics.get("decision") if trial_statistics else None,
        "latency": (statistics.get(name, "latency") or {}).get("versions", {}),
        "drift": (statistics.get(name, "drift") or {}).get("versions", {}),
        "accuracy": {
            version: windows["24 h"]
            for version, windows in (statistics.get(name, "accuracy") or {}).get("versions", {}).items()
            if "24 h" in windows
        },
        "shadow": statistics.of_trial(release, "shadow"),
    }


def _replica(beat: Heartbeat, sees: Callable[[str], bool]) -> dict[str, Any]:
    models = {model: load for model, load in beat.models.items() if sees(model)}
    loads = models.values()
    return {
        "replica": beat.replica,
        "role": beat.role,
        "at": beat.at,
        "queued": sum(load.queued for load in loads),
        "in_service": sum(load.in_service for load in loads),
        "answered": sum(load.answered for load in loads),
        "lag": sum(load.lag for load in loads),
        "batch_requests": max((load.batch_requests for load in loads), default=0.0),
        "service_ms": max((load.service_ms for load in loads), default=0.0),
        "loaded": {model: list(load.loaded) for model, load in models.items()},
        "failed": {model: load.failed for model, load in models.items() if load.failed},
        "breakers": [
            {"model": model, "version": load.identities.get(identity, identity), "state": state}
            for model, load in models.items()
            for identity, state in load.breakers.items()
        ],
    }
