"""The transitions by which a person overrules a canary's judge: none of them changes who gets which version.

Each raises the generation, so that two people who act at the same time see it, and what the judge decided before is refused.
"""

from __future__ import annotations

from typing import Any

from ...schemas.errors import IllegalTransition, InvalidInput, StaleGeneration
from ...schemas.payloads.commands import (
    CommandBase,
    ExcludeComparison,
    HoldStep,
    IncludeComparison,
    JudgedCommand,
    PauseJudge,
    ResumeJudge,
)
from ...schemas.payloads.event_data import CanaryComparisonData, CanaryData, CanaryHeldData, CanaryPausedData
from ...schemas.payloads.events import CanaryPaused, CanaryResumed, ComparisonExcluded, ComparisonIncluded, StepHeld
from ...schemas.payloads.overrides import ACTOR_LENGTH, LONGEST_OVERRIDE, REASON_LENGTH, Override
from ...schemas.payloads.releases import Release, RunningCanary
from ..judge.decision import EXCLUDABLE
from .answers import answer_fields, origin_of, release_fields
from .state import Outcome, ReleaseState
from .trials import next_generation, with_canary


def pause(state: ReleaseState, command: PauseJudge, now: float) -> Outcome:
    """Let the judge take no step and no rollback by itself. It goes on counting."""
    release, canary = with_canary(state, command)
    known = canary.plan.overrides.paused
    if known is not None and not known.is_over(now):
        raise IllegalTransition(f"the judge of {canary.id} is paused already, {known}: resume it first", field="id")
    override = _override(command, now, command.until)
    after = _overruled(release, canary, command, now, paused=override)
    data = CanaryPausedData(**_data(after, canary, command), until=override.until)
    summary = f"the judge of {canary.id} is paused {override}"
    return Outcome(after, CanaryPaused(**answer_fields(command, after.generation, now), summary=summary, data=data))


def resume(state: ReleaseState, command: ResumeJudge, now: float) -> Outcome:
    """Let the judge decide again, by all that it has counted."""
    release, canary = with_canary(state, command)
    if (known := canary.plan.overrides.paused) is None:
        raise IllegalTransition(f"the judge of {canary.id} is not paused: there is nothing to resume", field="id")
    after = _overruled(release, canary, command, now, paused=None)
    data = CanaryData(**_data(after, canary, command))
    summary = _with_reason(f"the judge of {canary.id} decides again; it was paused {known}", command)
    return Outcome(after, CanaryResumed(**answer_fields(command, after.generation, now), summary=summary, data=data))


def exclude(state: ReleaseState, command: ExcludeComparison, now: float) -> Outcome:
    """Let a comparison decide nothing. It is still counted and shown; the limits of the others stay."""
    release, canary = with_canary(state, command)
    what, excluded = _checked_comparison(command.comparison), canary.plan.overrides.excluded
    if what in excluded:
        raise IllegalTransition(
            f"{what} is excluded already, {excluded[what]}: include it first, to give another reason",
            field="comparison",
        )
    override = _override(command, now)
    after = _overruled(release, canary, command, now, excluded=excluded | {what: override})
    data = CanaryComparisonData(**_data(after, canary, command), comparison=what)
    summary = f"{what} excluded from the decision on {canary.id} {override}"
    return Outcome(
        after, ComparisonExcluded(**answer_fields(command, after.generation, now), summary=summary, data=data)
    )


def include(state: ReleaseState, command: IncludeComparison, now: float) -> Outcome:
    """Let an excluded comparison decide again, by all that it has counted."""
    release, canary = with_canary(state, command)
    what, excluded = _checked_comparison(command.comparison), canary.plan.overrides.excluded
    if what not in excluded:
        now_excluded = ", ".join(excluded) or "nothing"
        raise IllegalTransition(
            f"{what} is part of the decision on {canary.id} (excluded: {now_excluded})", field="comparison"
        )
    others = {name: override for name, override in excluded.items() if name != what}
    after = _overruled(release, canary, command, now, excluded=others)
    data = CanaryComparisonData(**_data(after, canary, command), comparison=what)
    summary = _with_reason(f"{what} is part of the decision on {canary.id} again", command)
    return Outcome(
        after, ComparisonIncluded(**answer_fields(command, after.generation, now), summary=summary, data=data)
    )


def hold(state: ReleaseState, command: HoldStep, now: float) -> Outcome:
    """Let the judge leave the present step no earlier than a time, or end that."""
    release, canary = with_canary(state, command)
    if not canary.plan.steps:
        raise IllegalTransition(
            f"{canary.id} has no steps, so a person decides when it gets more: there is nothing to hold", field="id"
        )
    if command.until is None and canary.plan.overrides.held is None:
        raise IllegalTransition(f"the step of {canary.id} is not held: give the seconds to hold it", field="seconds")
    override = _override(command, now, command.until)
    held = override if command.until is not None else None
    after = _overruled(release, canary, command, now, held=held)
    percentage = 100 * next(variant.weight for variant in release.variants if variant.role == "candidate")
    data = CanaryHeldData(**_data(after, canary, command), percentage=percentage, until=command.until)
    summary = (
        f"the step of {canary.id} at {percentage:g} % is held {held}"
        if held is not None
        else f"the step of {canary.id} at {percentage:g} % is no longer held: {command.reason}"
    )
    return Outcome(after, StepHeld(**answer_fields(command, after.generation, now), summary=summary, data=data))


def check_not_overruled(release: Release, command: JudgedCommand) -> None:
    """Raise StaleGeneration for a decision that the judge took before a person overruled it."""
    if command.judged_generation is None or (canary := release.running_canary) is None:
        return
    if command.judged_generation < canary.plan.overrides.generation:
        raise StaleGeneration(
            f"a person has overruled the judge of {canary.id} since this was decided: it decides again by what holds now",
            field="generation",
        )


def _overruled(release: Release, canary: RunningCanary, command: CommandBase, now: float, **changes: Any) -> Release:
    overrides = canary.plan.overrides.model_copy(update={**changes, "generation": release.generation + 1})
    return next_generation(release, command, now, canary=canary.plan.model_copy(update={"overrides": overrides}))


def _override(command: CommandBase, now: float, until: float | None = None) -> Override:
    """Return the command as an override. Raises InvalidInput without a reason, or for a time that cannot be."""
    if not command.reason.strip():
        raise InvalidInput("say why: a reason is kept with whatever overrules the judge", field="reason")
    if len(command.reason) > REASON_LENGTH or len(command.actor) > ACTOR_LENGTH:
        raise InvalidInput(
            f"a reason may have {REASON_LENGTH} characters and an actor {ACTOR_LENGTH}, "
            f"not {len(command.reason)} and {len(command.actor)}",
            field="reason" if len(command.reason) > REASON_LENGTH else "actor",
        )
    if until is not None and not now < until <= now + LONGEST_OVERRIDE:
        raise InvalidInput(
            f"until must be in the future and at most {LONGEST_OVERRIDE / 86400:g} days from now, in seconds since the epoch",
            field="until",
        )
    return Override(actor=command.actor, reason=command.reason, at=now, until=until)


def _checked_comparison(name: str) -> str:
    if name not in EXCLUDABLE:
        raise InvalidInput(
            f"there is no comparison {name[:40]!r}: it is one of {', '.join(EXCLUDABLE)}", field="comparison"
        )
    return name


def _data(release: Release, canary: RunningCanary, command: CommandBase) -> dict[str, Any]:
    return {**release_fields(release), **origin_of(command), "candidate": canary.candidate, "id": canary.id}


def _with_reason(summary: str, command: CommandBase) -> str:
    return f"{summary}: {command.reason}" if command.reason else summary
