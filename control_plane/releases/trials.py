"""What transitions have in common: which release one may begin from, what the command must name, the release that begins."""

from __future__ import annotations

from ...schemas.errors import IllegalTransition, InvalidInput, SignatureDiffers
from ...schemas.payloads.commands import Command
from ...schemas.payloads.releases import CanaryPlan, Release, Strategy, Variant, VersionSpec
from ...schemas.payloads.signatures import differences
from .state import ReleaseState


def full_release(release: Release | None, spec: VersionSpec, command: Command, now: float, last: int = 0) -> Release:
    """Return a release that sends everything to one version; `last` is the generation before where there is no release."""
    variants = (Variant(name="stable", version=spec.version, weight=1, role="stable"),)
    return begin_trial(release, "full", variants, [spec], command, now, last=last)


def begin_trial(
    before: Release | None,
    strategy: Strategy,
    variants: tuple[Variant, ...],
    specs: list[VersionSpec],
    command: Command,
    now: float,
    canary: CanaryPlan | None = None,
    last: int = 0,
) -> Release:
    """Return the first release of a new trial. What was learned of a version stays with it."""
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
        salt=f"{command.model}.{generation}",
        updated_at=now,
        actor=command.actor,
        reason=command.reason,
    )


def _with_known_profile(spec: VersionSpec, known: VersionSpec | None) -> VersionSpec:
    if spec.profile is None and known is not None and known.identity == spec.identity:
        return spec.model_copy(update={"profile": known.profile})
    return spec


def running(state: ReleaseState, command: Command, strategy: Strategy) -> Release:
    """Return the release if it is of this strategy. Raises IllegalTransition."""
    release = state.release
    if release is None or release.strategy != strategy:
        what = {"canary": "canary", "shadow": "shadow", "ab": "experiment", "full": "full release"}[strategy]
        raise IllegalTransition(f"{command.model} has no {what} running", field="model")
    return release


def idle(state: ReleaseState, command: Command) -> Release:
    """Return the full release that something new can begin on. Raises IllegalTransition while something runs."""
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


def given_version(command: Command) -> VersionSpec:
    """Return the version that the command names. Raises InvalidInput."""
    if command.version is None:
        raise InvalidInput("the command names no version", field="version")
    return command.version


def other_version(release: Release, command: Command, what: str) -> VersionSpec:
    """Return the command's version, if it can stand beside stable. Raises SignatureDiffers or InvalidInput."""
    spec = given_version(command)
    stable = release.versions[release.stable.version]
    if spec.version == stable.version:
        raise InvalidInput(f"{spec.version} is the stable version: the {what} must be another", field="version")
    if different := differences(stable.signature, spec.signature):
        raise SignatureDiffers(
            f"{spec.version} cannot stand in for {stable.version}: {'; '.join(different)}", field="version"
        )
    return spec


def given_percentage(command: Command) -> float:
    """Return the percentage that the command names. Raises InvalidInput."""
    if command.percentage is None or not 0 < command.percentage <= 100:
        raise InvalidInput(f"percentage must be above 0 and at most 100, not {command.percentage}", field="percentage")
    return command.percentage
