"""A model's release as a state machine: a pure step from a state and a command to the next state and an event.

    (none) -deploy-> full -deploy-> full
    full -start_canary-> canary -step_canary-> canary -promote|rollback-> full
    full -start_shadow-> shadow -stop_shadow-> full
    full -start_experiment-> ab -stop_experiment-> full
    any -remove-> (none)

Whatever else is asked is refused with 409 and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from ...schemas.errors import (
    ControlPlaneUnavailable,
    IllegalTransition,
    InvalidInput,
    ModelMeshError,
    RequestTooLarge,
    SignatureDiffers,
    StaleGeneration,
)
from ...schemas.payloads.commands import Command, CommandKind, Event, EventKind
from ...schemas.payloads.releases import RELEASE_BYTES, CanaryPlan, Release, Strategy, Variant, VersionSpec, sizes_of
from ...schemas.payloads.signatures import differences

REMEMBERED_COMMANDS = 100
# With the release they are one value of the table, and that is a record.
REMEMBERED_BYTES = 500_000


class ReleaseState(BaseModel):
    """What the table holds for one model: its release, and the events that answered its latest commands.

    Of a model that was removed the generation stays. A later model of the name goes on from there, so that no trial, event or
    late summary of the one before is ever taken for its own.
    """

    model_config = ConfigDict(frozen=True)

    release: Release | None = None
    removed_at: int = 0
    answered: tuple[Event, ...] = ()

    @property
    def generation(self) -> int:
        """The release's generation; without one that of the last, 0 before the first."""
        return self.release.generation if self.release else self.removed_at

    def answer_to(self, command_id: str) -> Event | None:
        """Return the event that answered a command, if it is remembered."""
        return next((event for event in self.answered if event.command_id == command_id), None)


class _Outcome(NamedTuple):
    """What a transition gives: the next release (None: no more), and what the event says of it."""

    release: Release | None
    kind: EventKind
    summary: str
    data: dict[str, Any]


def step(state: ReleaseState, command: Command, now: float) -> tuple[ReleaseState, Event]:
    """Return the next state and the event that answers the command.

    Bears repetition: after a crash the same command may come again, and is answered as the first time without a second
    change. A command that is refused changes nothing; its event carries the problem.
    """
    if (before := state.answer_to(command.command_id)) is not None:
        return state, before
    try:
        _check(state, command, now)
        outcome = _TRANSITIONS[command.kind](state, command, now)
        if outcome.release is not None:
            _check_size(outcome.release)
    except ModelMeshError as error:
        event = Event(
            event_id=f"{command.command_id}.answer",
            kind="command.refused",
            model=command.model,
            at=now,
            generation=state.generation,
            command_id=command.command_id,
            actor=command.actor,
            summary=error.detail,
            data=_source(command),
            problem=error.problem(),
        )
        return _remember(state, event), event
    release = outcome.release
    after = state.model_copy(
        update={"release": release, "removed_at": release.generation if release is not None else state.generation}
    )
    event = Event(
        event_id=f"{command.command_id}.answer",
        kind=outcome.kind,
        model=command.model,
        at=now,
        generation=after.generation,
        command_id=command.command_id,
        actor=command.actor,
        summary=outcome.summary,
        data={
            **(_standing(release) if release is not None else {}),
            "reason": command.reason,
            **outcome.data,
            **({"evidence": command.evidence} if command.evidence else {}),
            **_source(command),
        },
    )
    return _remember(after, event), event


def _standing(release: Release) -> dict[str, Any]:
    stable = release.versions[release.stable.version]
    return {
        "strategy": release.strategy,
        "version": stable.version,
        "digest": stable.digest,
        "identity": stable.identity,
        "trial": release.trial,
    }


def _check_size(release: Release) -> None:
    """Raise RequestTooLarge naming what is too large for the release's record; said here it is no silence later."""
    if (size := len(release.model_dump_json())) > RELEASE_BYTES:
        versions = "; ".join(f"{name}: {sizes_of(spec)[1]}" for name, spec in release.versions.items())
        raise RequestTooLarge(
            f"the release would have {size} bytes, more than may be ({RELEASE_BYTES}): the largest parts of its versions, in "
            f"bytes, are {versions}; the reason has {len(release.reason)}"
        )


def _remember(state: ReleaseState, event: Event) -> ReleaseState:
    kept: list[Event] = []
    room = REMEMBERED_BYTES
    for known in (event, *reversed(state.answered[-REMEMBERED_COMMANDS + 1 :])):
        room -= len(known.model_dump_json())
        if room < 0 and kept:
            break
        kept.append(known)
    return state.model_copy(update={"answered": tuple(reversed(kept))})


def _check(state: ReleaseState, command: Command, now: float) -> None:
    if now > command.expires_at:
        # Its author was told that nobody answered; carrying it out now would be a surprise.
        raise ControlPlaneUnavailable("the command expired before the control plane saw it; nothing was changed")
    seen = state.release.generation if state.release is not None else 0
    if command.based_on is not None and command.based_on != seen:
        raise StaleGeneration(
            f"the release of {command.model} is at generation {seen}, "
            f"the command was based on {command.based_on}: look again, then decide",
            field="generation",
        )
    if command.trial is not None and (state.release is None or command.trial != state.release.trial):
        raise StaleGeneration(f"{command.model}.{command.trial} is over", field="id")


def _full(release: Release | None, spec: VersionSpec, command: Command, now: float, last: int = 0) -> Release:
    """Return a release that sends everything to one version; `last` is the generation before where there is no release."""
    variants = (Variant(name="stable", version=spec.version, weight=1, role="stable"),)
    return _begin(release, "full", variants, [spec], command, now, last=last)


def _begin(
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


def _running(state: ReleaseState, command: Command, strategy: Strategy) -> Release:
    release = state.release
    if release is None or release.strategy != strategy:
        what = {"canary": "canary", "shadow": "shadow", "ab": "experiment", "full": "full release"}[strategy]
        raise IllegalTransition(f"{command.model} has no {what} running", field="model")
    return release


def _idle(state: ReleaseState, command: Command) -> Release:
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


def _given(command: Command) -> VersionSpec:
    if command.version is None:
        raise InvalidInput("the command names no version", field="version")
    return command.version


def _other(release: Release, command: Command, what: str) -> VersionSpec:
    """Return the command's version, if it can stand beside stable. Raises SignatureDiffers or InvalidInput."""
    spec = _given(command)
    stable = release.versions[release.stable.version]
    if spec.version == stable.version:
        raise InvalidInput(f"{spec.version} is the stable version: the {what} must be another", field="version")
    if different := differences(stable.signature, spec.signature):
        raise SignatureDiffers(
            f"{spec.version} cannot stand in for {stable.version}: {'; '.join(different)}", field="version"
        )
    return spec


def _deploy(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _idle(state, command) if state.release is not None else None
    spec = _given(command)
    after = _full(release, spec, command, now, state.generation)
    previous = release.stable.version if release else None
    return _Outcome(after, "release.deployed", f"{command.model} {spec.version} is live", {"previous": previous})


def _start_canary(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _idle(state, command)
    spec = _other(release, command, "candidate")
    plan = (command.canary or CanaryPlan()).model_copy(update={"step": 0, "step_began_at": now})
    percentage = plan.steps[0].percentage if plan.steps else _percentage(command)
    after = _begin(
        release,
        "canary",
        _shares(release.stable.version, spec.version, percentage),
        [release.versions[release.stable.version], spec],
        command,
        now,
        plan,
    )
    summary = f"canary of {command.model} {spec.version} gets {percentage:g} % beside {release.stable.version}"
    data = {
        "candidate": spec.version,
        "percentage": percentage,
        "id": after.id,
        # What it was judged by: a later look may ask what other rules would have said.
        "canary": plan.model_dump(mode="json"),
    }
    return _Outcome(after, "canary.started", summary, data)


def _shares(stable: str, candidate: str, percentage: float) -> tuple[Variant, Variant]:
    share = percentage / 100
    return (
        Variant(name="stable", version=stable, weight=1 - share, role="stable"),
        Variant(name="candidate", version=candidate, weight=share, role="candidate"),
    )


def _percentage(command: Command) -> float:
    if command.percentage is None or not 0 < command.percentage <= 100:
        raise InvalidInput(f"percentage must be above 0 and at most 100, not {command.percentage}", field="percentage")
    return command.percentage


def _candidate_of(release: Release) -> str:
    candidate = release.variant("candidate")
    assert candidate is not None, "a canary has a candidate"
    return candidate.version


def _step_canary(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _running(state, command, "canary")
    percentage = _percentage(command)
    assert release.canary is not None
    steps = [step.percentage for step in release.canary.steps]
    place = steps.index(percentage) if percentage in steps else release.canary.step
    after = release.model_copy(
        update={
            "generation": release.generation + 1,
            "variants": _shares(release.stable.version, _candidate_of(release), percentage),
            "canary": release.canary.model_copy(update={"step": place, "step_began_at": now}),
            "updated_at": now,
            "actor": command.actor,
            "reason": command.reason,
        }
    )
    candidate = _candidate_of(release)
    summary = f"canary of {command.model} {candidate} gets {percentage:g} %"
    return _Outcome(
        after, "canary.stepped", summary, {"candidate": candidate, "percentage": percentage, "id": release.id}
    )


def _promote(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _running(state, command, "canary")
    candidate, stable = _candidate_of(release), release.stable.version
    after = _full(release, release.versions[candidate], command, now)
    summary = f"{command.model} {candidate} is promoted; {stable} goes"
    return _Outcome(after, "canary.promoted", summary, {"candidate": candidate, "previous": stable, "id": release.id})


def _rollback(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _running(state, command, "canary")
    candidate, stable = _candidate_of(release), release.stable.version
    after = _full(release, release.versions[stable], command, now)
    summary = f"{command.model} {candidate} is rolled back; {stable} answers everything"
    if command.reason:
        summary += f": {command.reason}"
    return _Outcome(after, "canary.rolled_back", summary, {"candidate": candidate, "id": release.id})


def _start_shadow(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _idle(state, command)
    spec = _other(release, command, "shadow")
    percentage, stable = _percentage(command), release.stable.version
    variants = (
        Variant(name="stable", version=stable, weight=1, role="stable"),
        Variant(name="shadow", version=spec.version, weight=percentage / 100, role="shadow"),
    )
    after = _begin(release, "shadow", variants, [release.versions[stable], spec], command, now)
    summary = f"{command.model} {spec.version} shadows {stable} on {percentage:g} % of the requests"
    return _Outcome(
        after, "shadow.started", summary, {"shadow": spec.version, "percentage": percentage, "id": after.id}
    )


def _stop_shadow(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _running(state, command, "shadow")
    shadow = release.variant("shadow")
    assert shadow is not None
    after = _full(release, release.versions[release.stable.version], command, now)
    summary = f"the shadow of {command.model} {shadow.version} is stopped"
    return _Outcome(after, "shadow.stopped", summary, {"shadow": shadow.version, "id": release.id})


def _start_experiment(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _idle(state, command)
    arms = command.variants
    names, versions = [arm.name for arm in arms], [arm.version for arm in arms]
    if len(arms) < 2:
        raise InvalidInput("an experiment needs two variants at least", field="variants")
    for found, field in ((names, "name"), (versions, "version")):
        if len(set(found)) != len(found):
            raise InvalidInput(f"two variants have the same {field}", field="variants")
    if abs(sum(arm.weight for arm in arms) - 1) > 1e-6:
        raise InvalidInput("the variants' weights must add up to 1 (or to 100)", field="variants")
    control = command.versions[arms[0].version]
    for version in versions[1:]:
        if different := differences(control.signature, command.versions[version].signature):
            raise SignatureDiffers(
                f"{version} cannot stand beside {control.version}: {'; '.join(different)}", field="variants"
            )
    # The first arm is the control; it answers where another arm fails.
    variants = tuple(arm.model_copy(update={"role": "arm" if number else "stable"}) for number, arm in enumerate(arms))
    after = _begin(release, "ab", variants, [command.versions[version] for version in versions], command, now)
    shares = ", ".join(f"{arm.name} ({arm.version}) {arm.weight:.0%}" for arm in arms)
    data = {
        "id": after.id,
        "name": command.name or after.id,
        "variants": [arm.model_dump(mode="json") for arm in variants],
        "before": release.stable.version,
    }
    return _Outcome(after, "experiment.started", f"experiment {data['name']} on {command.model}: {shares}", data)


def _stop_experiment(state: ReleaseState, command: Command, now: float) -> _Outcome:
    release = _running(state, command, "ab")
    winner = command.name or release.stable.version
    by_name = {variant.name: variant.version for variant in release.variants}
    version = by_name.get(winner, winner)
    if version not in release.versions:
        raise InvalidInput(f"{winner} is no variant of {release.id}: choose {', '.join(by_name)}", field="winner")
    after = _full(release, release.versions[version], command, now)
    summary = f"the experiment {release.id} is stopped; {command.model} {version} is live"
    return _Outcome(after, "experiment.stopped", summary, {"id": release.id, "winner": version})


def _set_profile(state: ReleaseState, command: Command, now: float) -> _Outcome:
    """Give a version the reference that its first live rows made. It is the same release still: no new generation."""
    spec, release = _given(command), state.release
    known = release.versions.get(spec.version) if release is not None else None
    if release is None or known is None or known.identity != spec.identity or command.profile is None:
        raise StaleGeneration(f"{spec.version} is no longer part of the release", field="version")
    if known.profile is not None:
        raise IllegalTransition(f"{spec.version} has a reference already", field="version")
    versions = release.versions | {spec.version: known.model_copy(update={"profile": command.profile})}
    summary = f"the first {command.profile.rows} rows are the reference of {command.model} {spec.version}"
    data = {"version": spec.version, "rows": command.profile.rows}
    return _Outcome(release.model_copy(update={"versions": versions}), "profile.learned", summary, data)


def _serve_original(state: ReleaseState, command: Command, now: float) -> _Outcome:
    """Serve a version by the model itself, for its compiled form was seen to answer otherwise."""
    spec, release = _given(command), state.release
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
    return _Outcome(after, "version.differs", summary, {"version": spec.version, "digest": spec.digest})


def _remove(state: ReleaseState, command: Command, now: float) -> _Outcome:
    """End the release, whatever runs. Where there is none the answer is the same: a removal can be asked for again."""
    release = state.release
    data: dict[str, Any] = {}
    if release is not None:
        data = {"removed": {version: spec.digest for version, spec in release.versions.items()}, "id": release.id}
    return _Outcome(None, "release.removed", f"{command.model} has no release any more", data)


_TRANSITIONS: dict[CommandKind, Callable[[ReleaseState, Command, float], _Outcome]] = {
    "deploy": _deploy,
    "start_canary": _start_canary,
    "step_canary": _step_canary,
    "promote": _promote,
    "rollback": _rollback,
    "start_shadow": _start_shadow,
    "stop_shadow": _stop_shadow,
    "start_experiment": _start_experiment,
    "stop_experiment": _stop_experiment,
    "set_profile": _set_profile,
    "serve_original": _serve_original,
    "remove": _remove,
}


def _source(command: Command) -> dict[str, str]:
    return {"source": command.source} if command.source else {}
