"""The transitions of an A/B experiment."""

from __future__ import annotations

from ...schemas.errors import InvalidInput, SignatureDiffers
from ...schemas.payloads.commands import Command
from ...schemas.payloads.signatures import differences
from .state import Outcome, ReleaseState
from .trials import begin_trial, full_release, idle, running


def start_experiment(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Begin to divide the requests among arms."""
    release = idle(state, command)
    arms = command.variants
    names, versions = [arm.name for arm in arms], [arm.version for arm in arms]
    if len(arms) < 2:
        raise InvalidInput("an experiment needs two variants at least", field="variants")
    for found, field in ((names, "name"), (versions, "version")):
        if len(set(found)) != len(found):
            raise InvalidInput(f"two variants have the same {field}", field="variants")
    if abs(sum(arm.weight for arm in arms) - 1) > 1e-6:
        raise InvalidInput("the variants' weights must add up to 1 (or to 100)", field="variants")
    control = command.versions[arms[0].version]
    for version in versions[1:]:
        if different := differences(control.signature, command.versions[version].signature):
            raise SignatureDiffers(
                f"{version} cannot stand beside {control.version}: {'; '.join(different)}", field="variants"
            )
    # The first arm is the control; it answers where another arm fails.
    variants = tuple(arm.model_copy(update={"role": "arm" if number else "stable"}) for number, arm in enumerate(arms))
    after = begin_trial(release, "ab", variants, [command.versions[version] for version in versions], command, now)
    shares = ", ".join(f"{arm.name} ({arm.version}) {arm.weight:.0%}" for arm in arms)
    data = {
        "id": after.id,
        "name": command.name or after.id,
        "variants": [arm.model_dump(mode="json") for arm in variants],
        "before": release.stable.version,
    }
    return Outcome(after, "experiment.started", f"experiment {data['name']} on {command.model}: {shares}", data)


def stop_experiment(state: ReleaseState, command: Command, now: float) -> Outcome:
    """Send everything to one arm."""
    release = running(state, command, "ab")
    winner = command.name or release.stable.version
    by_name = {variant.name: variant.version for variant in release.variants}
    version = by_name.get(winner, winner)
    if version not in release.versions:
        raise InvalidInput(f"{winner} is no variant of {release.id}: choose {', '.join(by_name)}", field="winner")
    after = full_release(release, release.versions[version], command, now)
    summary = f"the experiment {release.id} is stopped; {command.model} {version} is live"
    return Outcome(after, "experiment.stopped", summary, {"id": release.id, "winner": version})
