"""What a reader does with a release that has values of another release of ModelMesh."""

from __future__ import annotations

from .releases import Release
from .unknown_values import unknown_values


def not_understood(release: Release) -> str:
    """Return all unknown values that matter for answering, as text; empty if there is none. The judge's rules do not matter."""
    parts = {"strategy": release.strategy, "variants": release.variants, "versions": release.versions}
    return ", ".join(found for name, part in parts.items() for found in unknown_values(part, name))


def stable_alone(release: Release) -> Release | None:
    """Return a release in which stable answers everything; None if nothing is marked stable, or stable is not understood."""
    stable = release.stable
    spec = release.versions[stable.version]
    if stable.role != "stable" or next(unknown_values(spec), None) is not None:
        return None
    alone = {"strategy": "full", "variants": (stable.model_copy(update={"weight": 1.0}),)}
    return release.model_copy(update={**alone, "versions": {stable.version: spec}, "canary": None})
