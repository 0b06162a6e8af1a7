"""The transitions of a full release, and of what is known of its versions."""

from __future__ import annotations

from typing import Any

from ...schemas.errors import IllegalTransition, StaleGeneration
from ...schemas.payloads.commands import Command
from .state import Outcome, ReleaseState
from .trials import full_release, given_version, idle


def deploy(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Send everything to a version."""
    release = idle(state, command) if state.release is not None else None
    spec = given_version(command)
    after = full_release(release, spec, command, now, state.generation)
    previous = release.stable.version if release else None
    return Outcome(after, "release.deployed", f"{command.model} {spec.version} is live", {"previous": previous})


def set_profile(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Give a version the reference that its first live rows made. It is the same release still: no new generation."""
    spec, release = given_version(command), state.release
    known = release.versions.get(spec.version) if release is not None else None
    if release is None or known is None or known.identity != spec.identity or command.profile is None:
        raise StaleGeneration(f"{spec.version} is no longer part of the release", field="version")
    if known.profile is not None:
        raise IllegalTransition(f"{spec.version} has a reference already", field="version")
    versions = release.versions | {spec.version: known.model_copy(update={"profile": command.profile})}
    summary = f"the first {command.profile.rows} rows are the reference of {command.model} {spec.version}"
    data = {"version": spec.version, "rows": command.profile.rows}
    return Outcome(release.model_copy(update={"versions": versions}), "profile.learned", summary, data)


def serve_original(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Serve a version by the model itself, for its compiled form was seen to answer otherwise."""
    spec, release = given_version(command), state.release
    known = release.versions.get(spec.version) if release is not None else None
    if release is None or known is None or known.original is None or known.digest != spec.digest:
        raise StaleGeneration(f"{spec.version} is not served by that compiled form", field="version")
    after = release.model_copy(
        update={
            "generation": release.generation + 1,
            "versions": release.versions | {spec.version: known.as_original()},
            "updated_at": now,
            "actor": command.actor,
            "reason": command.reason,
        }
    )
    summary = (
        f"the compiled form of {command.model} {spec.version} answers otherwise than the model: the model answers now"
    )
    return Outcome(after, "version.differs", summary, {"version": spec.version, "digest": spec.digest})


def remove(state: ReleaseState, command: Command, now: float) -> Outcome:
    """End the release, whatever runs. Where there is none the answer is the same: a removal can be asked for again."""
    release = state.release
    data: dict[str, Any] = {}
    if release is not None:
        data = {"removed": {version: spec.digest for version, spec in release.versions.items()}, "id": release.id}
    return Outcome(None, "release.removed", f"{command.model} has no release any more", data)
