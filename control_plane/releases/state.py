"""The stored state of a model's release, and the outcome of a transition."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from ...schemas.payloads.read_events import ReadEvent, StoredEvent
from ...schemas.payloads.releases import Release

REMEMBERED_COMMANDS = 100
# The answers and the release share one value of the table, which must fit a record.
REMEMBERED_BYTES = 500_000
# As long as an Idempotency-Key counts.
REPEAT_SECONDS = 86_400.0


class ReleaseState(BaseModel):
    """A model's release, and the events that answered its latest commands.

    The generation of a removed model is kept, and a later model of the same name continues from it, so that trials, events and
    late summaries of the two cannot be confused.
    """

    model_config = ConfigDict(frozen=True)

    release: Release | None = None
    removed_at: int = 0
    answered: tuple[StoredEvent, ...] = ()

    @property
    def generation(self) -> int:
        """The generation of the release or, if there is none, of the last release; 0 if there was none."""
        return self.release.generation if self.release else self.removed_at

    def answer_to(self, command_id: str) -> ReadEvent | None:
        """Return the event that answered a command, if it is still stored."""
        return next((event for event in self.answered if event.command_id == command_id), None)

    def effect_of(self, repeat_key: str, issued_at: float) -> ReadEvent | None:
        """Return the event of the command with this key that took effect within a day before `issued_at`, if it is stored."""
        if not repeat_key:
            return None
        return next(
            (
                event
                for event in self.answered
                if event.repeat_key == repeat_key and event.problem is None and issued_at - event.at <= REPEAT_SECONDS
            ),
            None,
        )


class Outcome(NamedTuple):
    """The result of a transition: the next release, or None, and the event that answers the command."""

    release: Release | None
    event: ReadEvent


def remember(state: ReleaseState, event: ReadEvent) -> ReleaseState:
    """Return the state with one more answer, and as many earlier ones as the limits allow."""
    kept: list[ReadEvent] = []
    remaining = REMEMBERED_BYTES
    for known in (event, *reversed(state.answered[-REMEMBERED_COMMANDS + 1 :])):
        remaining -= len(known.model_dump_json())
        if remaining < 0 and kept:
            break
        kept.append(known)
    return state.model_copy(update={"answered": tuple(reversed(kept))})
