"""What is held of a model, and what a transition makes of it."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from ...schemas.payloads.events import Event
from ...schemas.payloads.releases import Release

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


class Outcome(NamedTuple):
    """What a transition gives: the next release (None: no more), and the event that answers the command."""

    release: Release | None
    event: Event


def remember(state: ReleaseState, event: Event) -> ReleaseState:
    """Return the state with one more answer, and as many of those before as there is room for."""
    kept: list[Event] = []
    room = REMEMBERED_BYTES
    for known in (event, *reversed(state.answered[-REMEMBERED_COMMANDS + 1 :])):
        room -= len(known.model_dump_json())
        if room < 0 and kept:
            break
        kept.append(known)
    return state.model_copy(update={"answered": tuple(reversed(kept))})
