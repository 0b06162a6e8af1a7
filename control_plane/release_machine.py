"""A model's release as a state machine: a pure step from a state and a command to the next state and an event."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ..schemas.commands import Command, Event
from ..schemas.errors import ControlPlaneUnavailable, ModelMeshError, StaleGeneration
from ..schemas.releases import Release, Variant

REMEMBERED_COMMANDS = 100


class ReleaseState(BaseModel):
    """What the table holds for one model: its release, and the events that answered its latest commands."""

    model_config = ConfigDict(frozen=True)

    release: Release | None = None
    answered: tuple[Event, ...] = ()

    @property
    def generation(self) -> int:
        """The release's generation; 0 before the first."""
        return self.release.generation if self.release else 0

    def answer_to(self, command_id: str) -> Event | None:
        """Return the event that answered a command, if it is remembered."""
        return next((event for event in self.answered if event.command_id == command_id), None)


def step(state: ReleaseState, command: Command, now: float) -> tuple[ReleaseState, Event]:
    """Return the next state and the event that answers the command.

    Bears repetition: after a crash the same command may come again, and is answered as the first time without a second
    change. A command that is refused changes nothing; its event carries the problem.
    """
    if (before := state.answer_to(command.command_id)) is not None:
        return state, before
    try:
        release = _deploy(state, command, now)
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
            problem=error.problem(),
        )
        return _remember(state, event), event
    event = Event(
        event_id=f"{command.command_id}.answer",
        kind="release.deployed",
        model=command.model,
        at=now,
        generation=release.generation,
        command_id=command.command_id,
        actor=command.actor,
        summary=f"{command.model} {command.version.version} is live",
        data={
            "strategy": release.strategy,
            "version": command.version.version,
            "previous": state.release.stable.version if state.release else None,
            "reason": command.reason,
        },
    )
    return _remember(state.model_copy(update={"release": release}), event), event


def _remember(state: ReleaseState, event: Event) -> ReleaseState:
    return state.model_copy(update={"answered": (*state.answered, event)[-REMEMBERED_COMMANDS:]})


def _deploy(state: ReleaseState, command: Command, now: float) -> Release:
    if now > command.expires_at:
        # Its author was told that nobody answered; carrying it out now would be a surprise.
        raise ControlPlaneUnavailable("the command expired before the control plane saw it; nothing was changed")
    if command.based_on is not None and command.based_on != state.generation:
        raise StaleGeneration(
            f"the release of {command.model} is at generation {state.generation}, "
            f"the command was based on {command.based_on}: look again, then decide",
            field="generation",
        )
    version = command.version
    return Release(
        model=command.model,
        generation=state.generation + 1,
        strategy="full",
        variants=(Variant(name="stable", version=version.version, weight=1.0, role="stable"),),
        versions={version.version: version},
        salt=command.model,
        updated_at=now,
        actor=command.actor,
        reason=command.reason,
    )
