"""A model's release as a state machine: a pure step from a state and a command to the next state and an event.

    (none) -deploy-> full -deploy-> full
    full -start_canary-> canary -step_canary-> canary -promote|rollback-> full
    canary -pause|resume|exclude|include|hold-> canary (see `overrule`)
    full -start_shadow-> shadow -stop_shadow-> full
    full -start_experiment-> ab -stop_experiment-> full
    any -remove-> (none)

All other commands are refused with 409.
"""

from __future__ import annotations

from pydantic import ValidationError

from ...schemas.errors import (
    ControlPlaneUnavailable,
    IllegalTransition,
    ModelMeshError,
    RequestTooLarge,
    StaleGeneration,
)
from ...schemas.payloads.commands import (
    Deploy,
    ExcludeComparison,
    HoldStep,
    IncludeComparison,
    JudgedCommand,
    PauseJudge,
    Promote,
    ReadCommand,
    Remove,
    ResumeJudge,
    Rollback,
    ServeOriginal,
    SetProfile,
    StartCanary,
    StartExperiment,
    StartShadow,
    StepCanary,
    StopExperiment,
    StopShadow,
    TrialCommand,
    UnknownCommand,
)
from ...schemas.payloads.event_data import SourceData
from ...schemas.payloads.events import CommandRefused
from ...schemas.payloads.read_events import ReadEvent
from ...schemas.payloads.releases import RELEASE_BYTES, Release, sizes_of
from ...schemas.payloads.unknown_values import unknown_values
from ...schemas.trial_id import TrialId
from .answers import answer_fields
from .canary import promote, rollback, start_canary, step_canary
from .experiment import start_experiment, stop_experiment
from .overrule import check_not_overruled, exclude, hold, include, pause, resume
from .shadow import start_shadow, stop_shadow
from .state import Outcome, ReleaseState, remember
from .versions import deploy, remove, serve_original, set_profile


def step(state: ReleaseState, command: ReadCommand, now: float) -> tuple[ReleaseState, ReadEvent]:
    """Return the next state and the event that answers the command.

    Idempotent: a command that is delivered again after a crash gets the same answer without a second change. A refused command
    changes nothing; its event carries the problem. A command that its author repeats under the same key gets the answer of the
    one that took effect; refused ones are tried again.
    """
    earlier = state.answer_to(command.command_id) or state.effect_of(command.repeat_key, command.issued_at)
    if earlier is not None:
        return state, earlier
    try:
        _check(state, command, now)
        release, event = _apply(state, command, now)
        if release is not None:
            _check_size(release)
    except ModelMeshError as error:
        refused = refusal(command, error, state.generation, now)
        return remember(state, refused), refused
    removed_at = release.generation if release is not None else state.generation
    return remember(state.model_copy(update={"release": release, "removed_at": removed_at}), event), event


def refusal(command: ReadCommand, error: ModelMeshError, generation: int, now: float) -> CommandRefused:
    """Return the event that tells a command's author the error with which it was refused."""
    return CommandRefused(
        **answer_fields(command, generation, now),
        summary=error.detail,
        data=SourceData(source=command.source) if command.source else SourceData(),
        problem=error.problem(),
    )


def unreadable_state(model: str, error: ValidationError) -> IllegalTransition:
    """Return the error for all commands to a model whose stored release cannot be read."""
    problem = error.errors(include_url=False)[0]
    return IllegalTransition(
        f"the stored release of {model} cannot be read ({'.'.join(map(str, problem['loc']))}: {problem['msg']}): it is of "
        "another release of ModelMesh. Upgrade the control plane, then repeat the command",
        field="model",
    )


def _apply(state: ReleaseState, command: ReadCommand, now: float) -> Outcome:
    match command:
        case Deploy():
            return deploy(state, command, now)
        case StartCanary():
            return start_canary(state, command, now)
        case StepCanary():
            return step_canary(state, command, now)
        case Promote():
            return promote(state, command, now)
        case Rollback():
            return rollback(state, command, now)
        case PauseJudge():
            return pause(state, command, now)
        case ResumeJudge():
            return resume(state, command, now)
        case ExcludeComparison():
            return exclude(state, command, now)
        case IncludeComparison():
            return include(state, command, now)
        case HoldStep():
            return hold(state, command, now)
        case StartShadow():
            return start_shadow(state, command, now)
        case StopShadow():
            return stop_shadow(state, command, now)
        case StartExperiment():
            return start_experiment(state, command, now)
        case StopExperiment():
            return stop_experiment(state, command, now)
        case SetProfile():
            return set_profile(state, command, now)
        case ServeOriginal():
            return serve_original(state, command, now)
        case Remove():
            return remove(state, command, now)
        case UnknownCommand():
            raise IllegalTransition(
                f"this control plane does not know the command {command.kind[:80]!r}: it is of another release of ModelMesh. "
                "Upgrade the control plane, then repeat it",
                field="kind",
            )


def _check_size(release: Release) -> None:
    """Raise RequestTooLarge, naming the largest parts, for a release that does not fit a record."""
    if (size := len(release.model_dump_json())) > RELEASE_BYTES:
        versions = "; ".join(f"{name}: {sizes_of(spec)[1]}" for name, spec in release.versions.items())
        raise RequestTooLarge(
            f"the release would have {size} bytes, more than the limit of {RELEASE_BYTES}: the largest parts of its versions, in "
            f"bytes, are {versions}; the reason has {len(release.reason)}"
        )


def _check_understood(state: ReleaseState, command: ReadCommand) -> None:
    """Raise IllegalTransition for values of another release of ModelMesh, in the command or in the model's release.

    `Deploy` and `Remove` end a trial of an unknown strategy: they mean the same whatever it was.
    """
    if unknown := ", ".join(unknown_values(command)):
        raise IllegalTransition(
            f"this control plane does not know {unknown[:500]}: the command is of another release of ModelMesh. "
            "Upgrade the control plane, then repeat it",
            field=unknown.partition(" ")[0],
        )
    if isinstance(command, Deploy | Remove) or state.release is None:
        return
    if unknown := state.release.unknown_shape:
        raise IllegalTransition(
            f"the release of {command.model} has {unknown[:500]}, of another release of ModelMesh: upgrade the control plane, "
            "or deploy a version, which ends the trial",
            field="model",
        )


def _check(state: ReleaseState, command: ReadCommand, now: float) -> None:
    if now > command.expires_at:
        # Its author has already got an error.
        raise ControlPlaneUnavailable("the command expired before the control plane saw it; nothing was changed")
    _check_understood(state, command)
    seen = state.release.generation if state.release is not None else 0
    if command.based_on is not None and command.based_on != seen:
        raise StaleGeneration(
            f"the release of {command.model} is at generation {seen}, "
            f"the command was based on {command.based_on}: look again, then decide",
            field="generation",
        )
    if isinstance(command, TrialCommand) and command.trial is not None:
        trial = TrialId(command.model, command.trial)
        if state.release is None or trial != state.release.id:
            raise StaleGeneration(f"{trial} is over", field="id")
    if isinstance(command, JudgedCommand) and state.release is not None:
        check_not_overruled(state.release, command)
