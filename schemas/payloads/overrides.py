"""What people have overruled of a running canary's judge: part of the canary's plan, and so of the release."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

# Limits, so that the release stays small: characters of a reason and of its author, and seconds until something ends by itself.
REASON_LENGTH, ACTOR_LENGTH = 1000, 128
LONGEST_OVERRIDE = 30 * 86400.0


class Override(BaseModel):
    """One decision of a person over the judge: who made it, when, why, and until when it holds (None: until it is undone)."""

    model_config = ConfigDict(frozen=True)

    actor: str
    reason: str
    at: float = Field(description="seconds since the epoch")
    until: float | None = Field(default=None, description="seconds since the epoch; null: until a person undoes it")

    def is_over(self, now: float) -> bool:
        """Whether its time has passed."""
        return self.until is not None and now >= self.until

    def __str__(self) -> str:
        until = f" until {_clock(self.until)}" if self.until is not None else ""
        return f"by {self.actor or 'someone'} since {_clock(self.at)}{until}: {self.reason}"


class Overrides(BaseModel):
    """All that is overruled of a canary's judge at present.

    `generation` is the release's after the latest of them: what the judge decided before is not carried out any more.
    """

    model_config = ConfigDict(frozen=True)

    paused: Override | None = Field(default=None, description="the judge takes no step and no rollback by itself")
    excluded: dict[str, Override] = Field(
        default_factory=dict, description="comparisons and rules that decide nothing, by name"
    )
    held: Override | None = Field(default=None, description="the present step is not left before its `until`")
    generation: int = 0

    def is_paused(self, now: float) -> bool:
        """Whether the judge decides nothing by itself."""
        return self.paused is not None and not self.paused.is_over(now)

    def lines(self) -> list[str]:
        """Return one line of text for each override, for people."""
        found = [f"the judge is paused {self.paused}"] if self.paused is not None else []
        found += [f"{what} excluded from the decision {override}" for what, override in self.excluded.items()]
        return found + ([f"the step is held {self.held}"] if self.held is not None else [])


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
