"""What a worker loads and unloads when a model's release changes: a pure function of the versions' identities."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ..schemas.payloads.releases import Release, VersionSpec


class LoadingPlan(NamedTuple):
    """Versions to load now, and identities to unload once the release's versions are loaded."""

    load: tuple[VersionSpec, ...]
    surplus: frozenset[str]


def plan(release: Release, loaded: Collection[str], loading: Collection[str]) -> LoadingPlan:
    """Return the missing and the surplus versions; `loaded` and `loading` are identities.

    A reused version number has another identity: the new version is loaded and the old one unloaded.
    """
    by_identity = {spec.identity: spec for spec in release.versions.values()}
    return LoadingPlan(
        tuple(spec for identity, spec in by_identity.items() if identity not in loaded and identity not in loading),
        frozenset(loaded) - by_identity.keys(),
    )
