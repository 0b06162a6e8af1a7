"""The transitions of a full release, and of what is known of its versions."""

from __future__ import annotations

from ...schemas.errors import IllegalTransition, StaleGeneration
from ...schemas.payloads.commands import Deploy, Remove, ServeOriginal, SetProfile
from ...schemas.payloads.event_data import DeployedData, DiffersData, ProfileData, RemovedData
from ...schemas.payloads.events import ProfileLearned, ReleaseDeployed, ReleaseRemoved, VersionDiffers
from .answers import Standing, answer, origin_of, standing
from .state import Outcome, ReleaseState
from .trials import full_release, idle


def deploy(state: ReleaseState, command: Deploy, now: float) -> Outcome:
    """Send everything to a version."""
    release = idle(state, command) if state.release is not None else None
    after = full_release(release, command.version, command, now, state.generation)
    event = ReleaseDeployed(
        **answer(command, after.generation, now),
        summary=f"{command.model} {command.version.version} is live",
        data=DeployedData(
            **standing(after), **origin_of(command), previous=release.stable.version if release is not None else None
        ),
    )
    return Outcome(after, event)


def set_profile(state: ReleaseState, command: SetProfile, now: float) -> Outcome:
    """Give a version the reference that its first live rows made. It is the same release still: no new generation."""
    spec, release = command.version, state.release
    known = release.versions.get(spec.version) if release is not None else None
    if release is None or known is None or known.identity != spec.identity:
        raise StaleGeneration(f"{spec.version} is no longer part of the release", field="version")
    if known.profile is not None:
        raise IllegalTransition(f"{spec.version} has a reference already", field="version")
    versions = release.versions | {spec.version: known.model_copy(update={"profile": command.profile})}
    after = release.model_copy(update={"versions": versions})
    stands: Standing = {**standing(after), "version": spec.version}
    event = ProfileLearned(
        **answer(command, after.generation, now),
        summary=f"the first {command.profile.rows} rows are the reference of {command.model} {spec.version}",
        data=ProfileData(**stands, **origin_of(command), rows=command.profile.rows),
    )
    return Outcome(after, event)


def serve_original(state: ReleaseState, command: ServeOriginal, now: float) -> Outcome:
    """Serve a version by the model itself, for its compiled form was seen to answer otherwise."""
    spec, release = command.version, state.release
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
    # Of the form that was wrong, not of what is served now.
    stands: Standing = {**standing(after), "version": spec.version, "digest": spec.digest}
    event = VersionDiffers(
        **answer(command, after.generation, now),
        summary=f"the compiled form of {command.model} {spec.version} answers otherwise than the model: "
        "the model answers now",
        data=DiffersData(**stands, **origin_of(command)),
    )
    return Outcome(after, event)


def remove(state: ReleaseState, command: Remove, now: float) -> Outcome:
    """End the release, whatever runs. Where there is none the answer is the same: a removal can be asked for again."""
    release, data = state.release, RemovedData(**origin_of(command))
    if release is not None:
        digests = {version: spec.digest for version, spec in release.versions.items()}
        data = RemovedData(**origin_of(command), removed=digests, id=release.id)
    summary = f"{command.model} has no release any more"
    return Outcome(None, ReleaseRemoved(**answer(command, state.generation, now), summary=summary, data=data))
