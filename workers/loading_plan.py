"""What a worker loads and lets go when a model's release changes: a pure function, by the versions' identity."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ..schemas.payloads.releases import Release, VersionSpec


class LoadingPlan(NamedTuple):
    """Versions to load now, and the identities of those that go once the release's own are loaded."""

    load: tuple[VersionSpec, ...]
    surplus: frozenset[str]


def plan(release: Release, loaded: Collection[str], loading: Collection[str]) -> LoadingPlan:
    """Return what is missing and what is too much; `loaded` and `loading` are identities.

    A number that was deleted and given again is another version: the new one is loaded, the old one goes.
    """
    wanted = {spec.identity: spec for spec in release.versions.values()}
    return LoadingPlan(
        tuple(spec for identity, spec in wanted.items() if identity not in loaded and identity not in loading),
        frozenset(loaded) - wanted.keys(),
    )
