"""The transitions of a full release, and changes of its versions."""

from __future__ import annotations

from ...schemas.errors import IllegalTransition, StaleGeneration
from ...schemas.payloads.commands import Deploy, Remove, ServeOriginal, SetProfile
from ...schemas.payloads.event_data import DeployedData, DiffersData, ProfileData, RemovedData
from ...schemas.payloads.events import ProfileLearned, ReleaseDeployed, ReleaseRemoved, VersionDiffers
from .answers import ReleaseFields, answer_fields, origin_of, release_fields
from .state import Outcome, ReleaseState
from .trials import full_release, idle, next_generation


def deploy(state: ReleaseState, command: Deploy, now: float) -> Outcome:
    """Send everything to a version."""
    release = idle(state, command) if state.release is not None else None
    after = full_release(release, command.version, command, now, state.generation)
    event = ReleaseDeployed(
        **answer_fields(command, after.generation, now),
        summary=f"{command.model} {command.version.version} is live",
        data=DeployedData(
            **release_fields(after),
            **origin_of(command),
            previous=release.stable.version if release is not None else None,
        ),
    )
    return Outcome(after, event)


def set_profile(state: ReleaseState, command: SetProfile, now: float) -> Outcome:
    """Set a version's reference, made from its first live rows. The generation does not change."""
    spec, release = command.version, state.release
    known = release.versions.get(spec.version) if release is not None else None
    if release is None or known is None or known.identity != spec.identity:
        raise StaleGeneration(f"{spec.version} is no longer part of the release", field="version")
    if known.profile is not None:
        raise IllegalTransition(f"{spec.version} has a reference already", field="version")
    versions = release.versions | {spec.version: known.model_copy(update={"profile": command.profile})}
    after = release.model_copy(update={"versions": versions})
    fields: ReleaseFields = {**release_fields(after), "version": spec.version}
    event = ProfileLearned(
        **answer_fields(command, after.generation, now),
        summary=f"the first {command.profile.rows} rows are the reference of {command.model} {spec.version}",
        data=ProfileData(**fields, **origin_of(command), rows=command.profile.rows),
    )
    return Outcome(after, event)


def serve_original(state: ReleaseState, command: ServeOriginal, now: float) -> Outcome:
    """Serve a version by the original model, since its compiled form gave other answers."""
    spec, release = command.version, state.release
    known = release.versions.get(spec.version) if release is not None else None
    if release is None or known is None or known.original is None or known.digest != spec.digest:
        raise StaleGeneration(f"{spec.version} is not served by that compiled form", field="version")
    versions = release.versions | {spec.version: known.as_original()}
    after = next_generation(release, command, now, versions=versions)
    # The digest of the wrong compiled form, not of the model that is served now.
    fields: ReleaseFields = {**release_fields(after), "version": spec.version, "digest": spec.digest}
    event = VersionDiffers(
        **answer_fields(command, after.generation, now),
        summary=f"the compiled form of {command.model} {spec.version} answers otherwise than the model: "
        "the model answers now",
        data=DiffersData(**fields, **origin_of(command)),
    )
    return Outcome(after, event)


def remove(state: ReleaseState, command: Remove, now: float) -> Outcome:
    """End the release, also during a trial. Idempotent: without a release the answer is the same."""
    release, data = state.release, RemovedData(**origin_of(command))
    if release is not None:
        digests = {version: spec.digest for version, spec in release.versions.items()}
        data = RemovedData(**origin_of(command), removed=digests, id=release.id)
    summary = f"{command.model} has no release any more"
    return Outcome(None, ReleaseRemoved(**answer_fields(command, state.generation, now), summary=summary, data=data))
