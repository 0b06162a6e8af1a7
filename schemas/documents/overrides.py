"""The requests by which a person overrules a canary's judge."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..payloads.overrides import LONGEST_OVERRIDE, REASON_LENGTH
from .releases import ChangeRequest

_UNTIL = "when it ends by itself, in seconds since the epoch"


class OverruleRequest(ChangeRequest):
    """The fields of every request that overrules the judge: the reason is required, and kept."""

    reason: str = Field(min_length=1, max_length=REASON_LENGTH)


class PauseRequest(OverruleRequest):
    """A request that the judge takes neither steps nor rollbacks by itself; without a time, until a person resumes it."""

    seconds: float | None = Field(
        default=None, gt=0, le=LONGEST_OVERRIDE, description="after which it resumes by itself"
    )
    until: float | None = Field(default=None, gt=0, description=_UNTIL)

    @model_validator(mode="after")
    def _one_end(self) -> PauseRequest:
        if self.seconds is not None and self.until is not None:
            raise ValueError("until: give seconds or until, not both")
        return self


class ResumeRequest(ChangeRequest):
    """A request that the judge decides again."""


class ExcludeRequest(OverruleRequest):
    """A request that a comparison, or the threshold or drift rule, decides nothing. It is still shown."""

    comparison: str = Field(
        max_length=40, description="as in the canary's `comparisons`, such as p99, or threshold, or drift"
    )


class IncludeRequest(ChangeRequest):
    """A request that an excluded comparison decides again."""

    comparison: str = Field(max_length=40)


class HoldRequest(OverruleRequest):
    """A request that the judge leaves the present step no earlier than a time."""

    seconds: float | None = Field(
        default=None, ge=0, le=LONGEST_OVERRIDE, description="from now; 0 ends a hold before its time"
    )
    until: float | None = Field(default=None, gt=0, description=_UNTIL)

    @model_validator(mode="after")
    def _one_end(self) -> HoldRequest:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("seconds: give either seconds or until")
        return self
