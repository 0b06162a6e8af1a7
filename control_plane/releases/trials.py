"""Common parts of the transitions: checks of the release and the command, and the next release."""

from __future__ import annotations

from typing import Any

from ...schemas.errors import IllegalTransition, InvalidInput, SignatureDiffers
from ...schemas.payloads.commands import CommandBase, StartCanary, StartShadow
from ...schemas.payloads.releases import CanaryPlan, Release, RunningCanary, Strategy, Variant, VersionSpec
from ...schemas.payloads.signatures import differences
from ...schemas.trial_id import TrialId
from .state import ReleaseState


def full_release(
    release: Release | None, spec: VersionSpec, command: CommandBase, now: float, last: int = 0
) -> Release:
    """Return a release that sends all requests to one version; `last` is the previous generation if there is no release."""
    variants = (Variant(name="stable", version=spec.version, weight=1, role="stable"),)
    return begin_trial(release, "full", variants, [spec], command, now, last=last)


def begin_trial(
    before: Release | None,
    strategy: Strategy,
    variants: tuple[Variant, ...],
    specs: list[VersionSpec],
    command: CommandBase,
    now: float,
    canary: CanaryPlan | None = None,
    last: int = 0,
) -> Release:
    """Return the first release of a new trial. Versions keep their learned references."""
    generation = (before.generation if before else last) + 1
    known = before.versions if before else {}
    versions = {spec.version: _with_known_profile(spec, known.get(spec.version)) for spec in specs}
    return Release(
        model=command.model,
        generation=generation,
        strategy=strategy,
        variants=variants,
        versions=versions,
        trial=generation,
        began_at=now,
        canary=canary,
        salt=str(TrialId(command.model, generation)),
        updated_at=now,
        actor=command.actor,
        reason=command.reason,
    )


def next_generation(release: Release, command: CommandBase, now: float, **changes: Any) -> Release:
    """Return the release with changed fields as the next generation of the same trial."""
    return release.model_copy(
        update={
            "generation": release.generation + 1,
            "updated_at": now,
            "actor": command.actor,
            "reason": command.reason,
            **changes,
        }
    )


def _with_known_profile(spec: VersionSpec, known: VersionSpec | None) -> VersionSpec:
    if spec.profile is None and known is not None and known.identity == spec.identity:
        return spec.model_copy(update={"profile": known.profile})
    return spec


def with_experiment(state: ReleaseState, command: CommandBase) -> Release:
    """Return the release if it is an experiment. Raises IllegalTransition."""
    release = state.release
    if release is None or release.strategy != "ab":
        raise _none_running(command, "experiment")
    return release


def with_canary(state: ReleaseState, command: CommandBase) -> tuple[Release, RunningCanary]:
    """Return the release and its canary. Raises IllegalTransition."""
    release = state.release
    if release is None or (canary := release.running_canary) is None:
        raise _none_running(command, "canary")
    return release, canary


def with_shadow(state: ReleaseState, command: CommandBase) -> tuple[Release, Variant]:
    """Return the release and its shadow. Raises IllegalTransition."""
    release = state.release
    if release is None or (shadow := release.variant("shadow")) is None:
        raise _none_running(command, "shadow")
    return release, shadow


def _none_running(command: CommandBase, what: str) -> IllegalTransition:
    return IllegalTransition(f"{command.model} has no {what} running", field="model")


def idle(state: ReleaseState, command: CommandBase) -> Release:
    """Return the release if no trial is running. Raises IllegalTransition."""
    release = state.release
    if release is None:
        raise IllegalTransition(f"{command.model} has no release yet: deploy a version first", field="model")
    if release.strategy == "canary":
        raise IllegalTransition(f"the canary {release.id} is running: promote it or roll it back first", field="model")
    if release.strategy == "shadow":
        raise IllegalTransition(f"the shadow {release.id} is running: stop it first", field="model")
    if release.strategy == "ab":
        raise IllegalTransition(f"the experiment {release.id} is running: stop it first", field="model")
    return release


def other_version(release: Release, command: StartCanary | StartShadow, what: str) -> VersionSpec:
    """Return the command's version if it is compatible with stable. Raises SignatureDiffers or InvalidInput."""
    spec = command.version
    stable = release.versions[release.stable.version]
    if spec.version == stable.version:
        raise InvalidInput(f"{spec.version} is the stable version: the {what} must be another", field="version")
    if different := differences(stable.signature, spec.signature):
        raise SignatureDiffers(
            f"{spec.version} cannot stand in for {stable.version}: {'; '.join(different)}", field="version"
        )
    return spec


def checked_percentage(percentage: float | None) -> float:
    """Return the percentage. Raises InvalidInput unless it is above 0 and at most 100."""
    if percentage is None or not 0 < percentage <= 100:
        raise InvalidInput(f"percentage must be above 0 and at most 100, not {percentage}", field="percentage")
    return percentage
