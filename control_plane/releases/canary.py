"""The transitions of a canary."""

from __future__ import annotations

from ...schemas.payloads.commands import Command
from ...schemas.payloads.releases import CanaryPlan, Release, Variant
from .state import Outcome, ReleaseState
from .trials import begin_trial, full_release, given_percentage, idle, other_version, running


def start_canary(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Begin to send a share of the requests to a candidate."""
    release = idle(state, command)
    spec = other_version(release, command, "candidate")
    plan = (command.canary or CanaryPlan()).model_copy(update={"step": 0, "step_began_at": now})
    percentage = plan.steps[0].percentage if plan.steps else given_percentage(command)
    after = begin_trial(
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
    return Outcome(after, "canary.started", summary, data)


def step_canary(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Change the share that the candidate gets."""
    release = running(state, command, "canary")
    percentage = given_percentage(command)
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
    return Outcome(
        after, "canary.stepped", summary, {"candidate": candidate, "percentage": percentage, "id": release.id}
    )


def promote(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Send everything to the candidate."""
    release = running(state, command, "canary")
    candidate, stable = _candidate_of(release), release.stable.version
    after = full_release(release, release.versions[candidate], command, now)
    summary = f"{command.model} {candidate} is promoted; {stable} goes"
    return Outcome(after, "canary.promoted", summary, {"candidate": candidate, "previous": stable, "id": release.id})


def rollback(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Send everything to stable again."""
    release = running(state, command, "canary")
    candidate, stable = _candidate_of(release), release.stable.version
    after = full_release(release, release.versions[stable], command, now)
    summary = f"{command.model} {candidate} is rolled back; {stable} answers everything"
    if command.reason:
        summary += f": {command.reason}"
    return Outcome(after, "canary.rolled_back", summary, {"candidate": candidate, "id": release.id})


def _shares(stable: str, candidate: str, percentage: float) -> tuple[Variant, Variant]:
    share = percentage / 100
    return (
        Variant(name="stable", version=stable, weight=1 - share, role="stable"),
        Variant(name="candidate", version=candidate, weight=share, role="candidate"),
    )


def _candidate_of(release: Release) -> str:
    candidate = release.variant("candidate")
    assert candidate is not None, "a canary has a candidate"
    return candidate.version
