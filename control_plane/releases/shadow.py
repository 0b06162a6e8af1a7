"""The transitions of a shadow."""

from __future__ import annotations

from ...schemas.payloads.commands import Command
from ...schemas.payloads.releases import Variant
from .state import Outcome, ReleaseState
from .trials import begin_trial, full_release, given_percentage, idle, other_version, running


def start_shadow(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Begin to send copies of the requests to another version."""
    release = idle(state, command)
    spec = other_version(release, command, "shadow")
    percentage, stable = given_percentage(command), release.stable.version
    variants = (
        Variant(name="stable", version=stable, weight=1, role="stable"),
        Variant(name="shadow", version=spec.version, weight=percentage / 100, role="shadow"),
    )
    after = begin_trial(release, "shadow", variants, [release.versions[stable], spec], command, now)
    summary = f"{command.model} {spec.version} shadows {stable} on {percentage:g} % of the requests"
    return Outcome(after, "shadow.started", summary, {"shadow": spec.version, "percentage": percentage, "id": after.id})


def stop_shadow(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Send no more copies."""
    release = running(state, command, "shadow")
    shadow = release.variant("shadow")
    assert shadow is not None
    after = full_release(release, release.versions[release.stable.version], command, now)
    summary = f"the shadow of {command.model} {shadow.version} is stopped"
    return Outcome(after, "shadow.stopped", summary, {"shadow": shadow.version, "id": release.id})
