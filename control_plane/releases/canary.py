"""The transitions of a canary."""

from __future__ import annotations

from ...schemas.payloads.commands import Promote, Rollback, StartCanary, StepCanary
from ...schemas.payloads.event_data import CanaryData, CanaryPromotedData, CanaryShareData, CanaryStartedData
from ...schemas.payloads.events import CanaryPromoted, CanaryRolledBack, CanaryStarted, CanaryStepped
from ...schemas.payloads.overrides import Overrides
from ...schemas.payloads.releases import CanaryPlan, Variant
from .answers import answer_fields, origin_of, release_fields
from .state import Outcome, ReleaseState
from .trials import begin_trial, checked_percentage, full_release, idle, next_generation, other_version, with_canary


def start_canary(state: ReleaseState, command: StartCanary, now: float) -> Outcome:
    """Start to send a share of the requests to a candidate."""
    release = idle(state, command)
    spec = other_version(release, command, "candidate")
    plan = (command.canary or CanaryPlan()).model_copy(
        update={"step": 0, "step_began_at": now, "overrides": Overrides()}
    )
    percentage = plan.steps[0].percentage if plan.steps else checked_percentage(command.percentage)
    after = begin_trial(
        release,
        "canary",
        _shares(release.stable.version, spec.version, percentage),
        [release.versions[release.stable.version], spec],
        command,
        now,
        plan,
    )
    event = CanaryStarted(
        **answer_fields(command, after.generation, now),
        summary=f"canary of {command.model} {spec.version} gets {percentage:g} % beside {release.stable.version}",
        data=CanaryStartedData(
            **release_fields(after),
            **origin_of(command),
            candidate=spec.version,
            percentage=percentage,
            id=after.id,
            canary=plan,
        ),
    )
    return Outcome(after, event)


def step_canary(state: ReleaseState, command: StepCanary, now: float) -> Outcome:
    """Change the candidate's share."""
    release, canary = with_canary(state, command)
    percentage = checked_percentage(command.percentage)
    steps = [step.percentage for step in canary.plan.steps]
    place = steps.index(percentage) if percentage in steps else canary.plan.step
    overrides = canary.plan.overrides.model_copy(update={"held": None})  # it was about the step that ends here
    after = next_generation(
        release,
        command,
        now,
        variants=_shares(canary.stable, canary.candidate, percentage),
        canary=canary.plan.model_copy(update={"step": place, "step_began_at": now, "overrides": overrides}),
    )
    event = CanaryStepped(
        **answer_fields(command, after.generation, now),
        summary=f"canary of {command.model} {canary.candidate} gets {percentage:g} %",
        data=CanaryShareData(
            **release_fields(after),
            **origin_of(command),
            candidate=canary.candidate,
            percentage=percentage,
            id=canary.id,
        ),
    )
    return Outcome(after, event)


def promote(state: ReleaseState, command: Promote, now: float) -> Outcome:
    """Send everything to the candidate."""
    release, canary = with_canary(state, command)
    after = full_release(release, release.versions[canary.candidate], command, now)
    event = CanaryPromoted(
        **answer_fields(command, after.generation, now),
        summary=f"{command.model} {canary.candidate} is promoted; {canary.stable} goes",
        data=CanaryPromotedData(
            **release_fields(after),
            **origin_of(command),
            candidate=canary.candidate,
            previous=canary.stable,
            id=canary.id,
        ),
    )
    return Outcome(after, event)


def rollback(state: ReleaseState, command: Rollback, now: float) -> Outcome:
    """Send everything to stable again."""
    release, canary = with_canary(state, command)
    after = full_release(release, release.versions[canary.stable], command, now)
    summary = f"{command.model} {canary.candidate} is rolled back; {canary.stable} answers everything"
    event = CanaryRolledBack(
        **answer_fields(command, after.generation, now),
        summary=f"{summary}: {command.reason}" if command.reason else summary,
        data=CanaryData(**release_fields(after), **origin_of(command), candidate=canary.candidate, id=canary.id),
    )
    return Outcome(after, event)


def _shares(stable: str, candidate: str, percentage: float) -> tuple[Variant, Variant]:
    share = percentage / 100
    return (
        Variant(name="stable", version=stable, weight=1 - share, role="stable"),
        Variant(name="candidate", version=candidate, weight=share, role="candidate"),
    )
