"""What the dashboard shows at one moment, put together from the topics that the gateway follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..broker.statistics_view import StatisticsView
from ..schemas.releases import Release
from ..schemas.replicas import Heartbeat


def dashboard_state(
    releases: Mapping[str, Release], statistics: StatisticsView, beats: Iterable[Heartbeat], now: float
) -> dict[str, Any]:
    """Return the document: every model with what the judge knows of it, and every live replica."""
    return {
        "at": now,
        "models": [_model(release, statistics) for _, release in sorted(releases.items())],
        "replicas": [_replica(beat) for beat in sorted(beats, key=lambda beat: (beat.role, beat.replica))],
    }


def _model(release: Release, statistics: StatisticsView) -> dict[str, Any]:
    name = release.model
    judged = statistics.of_trial(release, "release")
    return {
        "name": name,
        "id": release.id,
        "strategy": release.strategy,
        "generation": release.generation,
        "variants": [
            {"name": v.name, "role": v.role, "version": v.version, "weight": v.weight} for v in release.variants
        ],
        "versions": judged["versions"] if judged else {},
        "comparisons": judged.get("comparisons", {}) if judged else {},
        "decision": judged.get("decision") if judged else None,
        "latency": (statistics.get(name, "latency") or {}).get("versions", {}),
        "drift": (statistics.get(name, "drift") or {}).get("versions", {}),
        "accuracy": {
            version: windows["24 h"]
            for version, windows in (statistics.get(name, "accuracy") or {}).get("versions", {}).items()
            if "24 h" in windows
        },
        "shadow": statistics.of_trial(release, "shadow"),
    }


def _replica(beat: Heartbeat) -> dict[str, Any]:
    loads = beat.models.values()
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
        "loaded": {model: list(load.loaded) for model, load in beat.models.items()},
        "failed": {model: load.failed for model, load in beat.models.items() if load.failed},
        "breakers": [
            {"model": model, "version": load.identities.get(identity, identity), "state": state}
            for model, load in beat.models.items()
            for identity, state in load.breakers.items()
        ],
    }
