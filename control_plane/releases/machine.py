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
from typing import Any

from ...schemas.errors import ControlPlaneUnavailable, ModelMeshError, RequestTooLarge, StaleGeneration
from ...schemas.payloads.commands import Command, CommandKind, Event
from ...schemas.payloads.releases import RELEASE_BYTES, Release, sizes_of
from .canary import promote, rollback, start_canary, step_canary
from .experiment import start_experiment, stop_experiment
from .shadow import start_shadow, stop_shadow
from .state import Outcome, ReleaseState, remember
from .versions import deploy, remove, serve_original, set_profile


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
        return remember(state, event), event
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
    return remember(after, event), event


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


_TRANSITIONS: dict[CommandKind, Callable[[ReleaseState, Command, float], Outcome]] = {
    "deploy": deploy,
    "start_canary": start_canary,
    "step_canary": step_canary,
    "promote": promote,
    "rollback": rollback,
    "start_shadow": start_shadow,
    "stop_shadow": stop_shadow,
    "start_experiment": start_experiment,
    "stop_experiment": stop_experiment,
    "set_profile": set_profile,
    "serve_original": serve_original,
    "remove": remove,
}


def _source(command: Command) -> dict[str, str]:
    return {"source": command.source} if command.source else {}
