"""The transitions of an A/B experiment."""

from __future__ import annotations

from ...schemas.errors import InvalidInput, SignatureDiffers
from ...schemas.payloads.commands import StartExperiment, StopExperiment
from ...schemas.payloads.event_data import ExperimentStartedData, ExperimentStoppedData
from ...schemas.payloads.events import ExperimentStarted, ExperimentStopped
from ...schemas.payloads.signatures import differences
from .answers import answer_fields, origin_of, release_fields
from .state import Outcome, ReleaseState
from .trials import begin_trial, full_release, idle, with_experiment


def start_experiment(state: ReleaseState, command: StartExperiment, now: float) -> Outcome:
    """Start to split the requests among arms."""
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
    # The first arm is the control. It is stable: it answers when another arm fails.
    variants = tuple(arm.model_copy(update={"role": "arm" if number else "stable"}) for number, arm in enumerate(arms))
    after = begin_trial(release, "ab", variants, [command.versions[version] for version in versions], command, now)
    shares = ", ".join(f"{arm.name} ({arm.version}) {arm.weight:.0%}" for arm in arms)
    name = command.name or str(after.id)
    event = ExperimentStarted(
        **answer_fields(command, after.generation, now),
        summary=f"experiment {name} on {command.model}: {shares}",
        data=ExperimentStartedData(
            **release_fields(after),
            **origin_of(command),
            id=after.id,
            name=name,
            variants=variants,
            before=release.stable.version,
        ),
    )
    return Outcome(after, event)


def stop_experiment(state: ReleaseState, command: StopExperiment, now: float) -> Outcome:
    """Send everything to one arm."""
    release = with_experiment(state, command)
    winner = command.winner or release.stable.version
    by_name = {variant.name: variant.version for variant in release.variants}
    version = by_name.get(winner, winner)
    if version not in release.versions:
        raise InvalidInput(f"{winner} is no variant of {release.id}: choose {', '.join(by_name)}", field="winner")
    after = full_release(release, release.versions[version], command, now)
    event = ExperimentStopped(
        **answer_fields(command, after.generation, now),
        summary=f"the experiment {release.id} is stopped; {command.model} {version} is live",
        data=ExperimentStoppedData(**release_fields(after), **origin_of(command), id=release.id, winner=version),
    )
    return Outcome(after, event)
