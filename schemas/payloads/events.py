"""The records on `events`, a class for each kind. A new kind must also be added to `Event` at the end."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from .event_data import (
    BreakerData,
    CanaryComparisonData,
    CanaryData,
    CanaryHeldData,
    CanaryPausedData,
    CanaryPromotedData,
    CanaryShareData,
    CanaryStartedData,
    CanaryWarnedData,
    DeployedData,
    DiffersData,
    DriftData,
    EventData,
    ExperimentStartedData,
    ExperimentStoppedData,
    FaultStartedData,
    FaultStoppedData,
    KeyData,
    ModelDeletedData,
    ProfileData,
    RegisteredData,
    RemovedData,
    ShadowData,
    ShadowStartedData,
    SourceData,
)

Data = TypeVar("Data", bound=EventData)


class EventOf(BaseModel, Generic[Data]):
    """An event. It answers the command with `command_id` and `repeat_key`; `problem` is the reason of a refusal."""

    model_config = ConfigDict(frozen=True)

    event_id: str
    kind: str = ""
    model: str
    at: float
    generation: int = 0
    command_id: str = ""
    actor: str = ""
    summary: str = ""
    data: Data
    problem: dict[str, Any] | None = None
    repeat_key: str = ""


class ReleaseDeployed(EventOf[DeployedData]):
    """A version answers everything."""

    kind: Literal["release.deployed"] = "release.deployed"


class ReleaseRemoved(EventOf[RemovedData]):
    """A model has no release any more."""

    kind: Literal["release.removed"] = "release.removed"


class CanaryStarted(EventOf[CanaryStartedData]):
    """A candidate gets a share of the requests."""

    kind: Literal["canary.started"] = "canary.started"


class CanaryStepped(EventOf[CanaryShareData]):
    """The candidate's share changed."""

    kind: Literal["canary.stepped"] = "canary.stepped"


class CanaryPromoted(EventOf[CanaryPromotedData]):
    """The candidate answers everything."""

    kind: Literal["canary.promoted"] = "canary.promoted"


class CanaryRolledBack(EventOf[CanaryData]):
    """Stable answers everything again."""

    kind: Literal["canary.rolled_back"] = "canary.rolled_back"


class CanaryPaused(EventOf[CanaryPausedData]):
    """A person paused the judge: it decides nothing by itself."""

    kind: Literal["canary.paused"] = "canary.paused"


class CanaryResumed(EventOf[CanaryData]):
    """The judge decides again."""

    kind: Literal["canary.resumed"] = "canary.resumed"


class ComparisonExcluded(EventOf[CanaryComparisonData]):
    """A person excluded a comparison from the decision."""

    kind: Literal["canary.excluded"] = "canary.excluded"


class ComparisonIncluded(EventOf[CanaryComparisonData]):
    """An excluded comparison decides again."""

    kind: Literal["canary.included"] = "canary.included"


class StepHeld(EventOf[CanaryHeldData]):
    """A person extended the present step."""

    kind: Literal["canary.held"] = "canary.held"


class CanaryWarned(EventOf[CanaryWarnedData]):
    """The candidate answers differently from stable."""

    kind: Literal["canary.warned"] = "canary.warned"


class ShadowStarted(EventOf[ShadowStartedData]):
    """A version gets copies of the requests."""

    kind: Literal["shadow.started"] = "shadow.started"


class ShadowStopped(EventOf[ShadowData]):
    """No more copies are sent."""

    kind: Literal["shadow.stopped"] = "shadow.stopped"


class ExperimentStarted(EventOf[ExperimentStartedData]):
    """The users are split among several versions."""

    kind: Literal["experiment.started"] = "experiment.started"


class ExperimentStopped(EventOf[ExperimentStoppedData]):
    """One arm answers everything."""

    kind: Literal["experiment.stopped"] = "experiment.stopped"


class DriftDetected(EventOf[DriftData]):
    """A version's inputs differ from its reference."""

    kind: Literal["drift.detected"] = "drift.detected"


class ProfileLearned(EventOf[ProfileData]):
    """A version has a reference now."""

    kind: Literal["profile.learned"] = "profile.learned"


class CommandRefused(EventOf[SourceData]):
    """A command was refused; `problem` gives the reason."""

    kind: Literal["command.refused"] = "command.refused"


class VersionDiffers(EventOf[DiffersData]):
    """A compiled form's answers differ from the model's; the model answers from now on."""

    kind: Literal["version.differs"] = "version.differs"


class ModelRegistered(EventOf[RegisteredData]):
    """A version was registered."""

    kind: Literal["model.registered"] = "model.registered"


class ModelDeleted(EventOf[ModelDeletedData]):
    """A version was deleted, or a model with all of them."""

    kind: Literal["model.deleted"] = "model.deleted"


class KeyCreated(EventOf[KeyData]):
    """An API key was created."""

    kind: Literal["key.created"] = "key.created"


class KeyRevoked(EventOf[KeyData]):
    """An API key was revoked."""

    kind: Literal["key.revoked"] = "key.revoked"


class BreakerOpened(EventOf[BreakerData]):
    """A breaker blocks requests."""

    kind: Literal["breaker.open"] = "breaker.open"


class BreakerHalfOpened(EventOf[BreakerData]):
    """A breaker allows probes."""

    kind: Literal["breaker.half_open"] = "breaker.half_open"


class BreakerClosed(EventOf[BreakerData]):
    """A breaker allows requests again."""

    kind: Literal["breaker.closed"] = "breaker.closed"


class ChaosStarted(EventOf[FaultStartedData]):
    """A fault was switched on."""

    kind: Literal["chaos.started"] = "chaos.started"


class ChaosStopped(EventOf[FaultStoppedData]):
    """A fault was switched off."""

    kind: Literal["chaos.stopped"] = "chaos.stopped"


Event: TypeAlias = Annotated[
    ReleaseDeployed
    | ReleaseRemoved
    | CanaryStarted
    | CanaryStepped
    | CanaryPromoted
    | CanaryRolledBack
    | CanaryPaused
    | CanaryResumed
    | ComparisonExcluded
    | ComparisonIncluded
    | StepHeld
    | CanaryWarned
    | ShadowStarted
    | ShadowStopped
    | ExperimentStarted
    | ExperimentStopped
    | DriftDetected
    | ProfileLearned
    | CommandRefused
    | VersionDiffers
    | ModelRegistered
    | ModelDeleted
    | KeyCreated
    | KeyRevoked
    | BreakerOpened
    | BreakerHalfOpened
    | BreakerClosed
    | ChaosStarted
    | ChaosStopped,
    Field(discriminator="kind"),
]
