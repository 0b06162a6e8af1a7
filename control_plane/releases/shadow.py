"""The transitions of a shadow."""

from __future__ import annotations

from ...schemas.payloads.commands import StartShadow, StopShadow
from ...schemas.payloads.event_data import ShadowData, ShadowStartedData
from ...schemas.payloads.events import ShadowStarted, ShadowStopped
from ...schemas.payloads.releases import Variant
from .answers import answer_fields, origin_of, release_fields
from .state import Outcome, ReleaseState
from .trials import begin_trial, checked_percentage, full_release, idle, other_version, with_shadow


def start_shadow(state: ReleaseState, command: StartShadow, now: float) -> Outcome:
    """Start to send copies of the requests to another version."""
    release = idle(state, command)
    spec = other_version(release, command, "shadow")
    percentage, stable = checked_percentage(command.percentage), release.stable.version
    variants = (
        Variant(name="stable", version=stable, weight=1, role="stable"),
        Variant(name="shadow", version=spec.version, weight=percentage / 100, role="shadow"),
    )
    after = begin_trial(release, "shadow", variants, [release.versions[stable], spec], command, now)
    event = ShadowStarted(
        **answer_fields(command, after.generation, now),
        summary=f"{command.model} {spec.version} shadows {stable} on {percentage:g} % of the requests",
        data=ShadowStartedData(
            **release_fields(after), **origin_of(command), shadow=spec.version, percentage=percentage, id=after.id
        ),
    )
    return Outcome(after, event)


def stop_shadow(state: ReleaseState, command: StopShadow, now: float) -> Outcome:
    """Stop sending copies."""
    release, shadow = with_shadow(state, command)
    after = full_release(release, release.versions[release.stable.version], command, now)
    event = ShadowStopped(
        **answer_fields(command, after.generation, now),
        summary=f"the shadow of {command.model} {shadow.version} is stopped",
        data=ShadowData(**release_fields(after), **origin_of(command), shadow=shadow.version, id=release.id),
    )
    return Outcome(after, event)
