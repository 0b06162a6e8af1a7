"""The requests and documents of releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..payloads.releases import CanaryPlan, Release, Strategy, Variant
from ..payloads.rules import Rules, Step
from ..trial_id import TrialId
from .document import Document

if TYPE_CHECKING:
    from ..payloads.read_events import ReadEvent


class ChangeRequest(BaseModel):
    """The fields of every change of a release."""

    model_config = ConfigDict(extra="forbid")

    generation: int | None = Field(
        default=None, ge=0, description="the generation that this is based on; 409 if the release has changed since"
    )
    actor: str = Field(default="", max_length=128)
    reason: str = Field(default="", max_length=1000)


class DeploymentRequest(ChangeRequest):
    """A request to send all requests to one version."""

    model: str
    version: str
    strategy: Literal["full"] = "full"


class CanaryRequest(ChangeRequest, Rules):
    """A request to try a version on a share of the requests.

    `steps` are shares in percent, each holding for `hold_seconds`, or objects with both; after the last the candidate is
    promoted. Without steps a person raises the share and promotes.
    """

    model: str
    candidate_version: str
    initial_percentage: float | None = Field(
        default=None, gt=0, le=100, description="10 if neither this nor steps are given"
    )
    steps: list[float | Step] = Field(default_factory=list, max_length=100)
    hold_seconds: float = Field(default=60.0, ge=0, le=30 * 86400)

    @model_validator(mode="after")
    def _steps_rise(self) -> CanaryRequest:
        shares = [step.percentage if isinstance(step, Step) else step for step in self.steps]
        if any(not 0 < share <= 100 for share in shares):
            raise ValueError("steps: each percentage must be above 0 and at most 100")
        if shares != sorted(set(shares)):
            raise ValueError("steps: percentages must rise")
        if shares and self.initial_percentage is not None and self.initial_percentage > shares[0]:
            raise ValueError("steps: initial_percentage must not be above the first step")
        return self

    @property
    def stages(self) -> tuple[Step, ...]:
        """The steps, preceded by the initial percentage if it is lower than the first."""
        stages = [
            step if isinstance(step, Step) else Step(percentage=step, hold_seconds=self.hold_seconds)
            for step in self.steps
        ]
        first = self.initial_percentage
        if stages and first is not None and first < stages[0].percentage:
            stages.insert(0, Step(percentage=first, hold_seconds=self.hold_seconds))
        return tuple(stages)

    def plan(self) -> CanaryPlan:
        """Return the plan that goes into the release."""
        rules = {name: getattr(self, name) for name in Rules.model_fields}
        return CanaryPlan(steps=self.stages, rules=Rules.model_validate(rules))


class PercentageRequest(ChangeRequest):
    """A request to change a canary's share."""

    percentage: float = Field(gt=0, le=100)


class ShadowRequest(ChangeRequest):
    """A request to send copies of the requests to a version whose answers are discarded after comparison."""

    model: str
    shadow_version: str
    production_version: str | None = Field(default=None, description="the version that must be live; 409 otherwise")
    percentage: float = Field(default=100.0, gt=0, le=100, description="of the requests that are copied")


class VariantRequest(BaseModel):
    """One arm of an experiment. Weights add up to 1, or to 100."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    version: str
    weight: float = Field(gt=0, le=100)


class ExperimentRequest(ChangeRequest):
    """A request to compare versions; each user keeps one. The first variant is the control."""

    model: str
    name: str = Field(default="", max_length=128)
    variants: list[VariantRequest] = Field(min_length=2, max_length=20)

    @model_validator(mode="after")
    def _weights_add_up(self) -> ExperimentRequest:
        total = sum(variant.weight for variant in self.variants)
        if min(abs(total - 1), abs(total - 100)) > 1e-6:
            raise ValueError(f"variants: weights must add up to 1 or to 100, not {total:g}")
        return self

    def arms(self) -> tuple[Variant, ...]:
        """Return the variants, weights as shares of 1."""
        total = sum(variant.weight for variant in self.variants)
        return tuple(
            Variant(name=variant.name, version=variant.version, weight=variant.weight / total, role="arm")
            for variant in self.variants
        )


class StopExperimentRequest(ChangeRequest):
    """A request to end an experiment; the winner, a variant's name or a version, goes live. Without one, the control does."""

    winner: str = ""


class EventDocument(Document):
    """An event from Kafka or the history. Its data may be of any release of the service."""

    event_id: str
    kind: str
    model: str
    at: float
    generation: int = 0
    command_id: str = ""
    actor: str = ""
    summary: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    problem: dict[str, Any] | None = None

    @classmethod
    def of(cls, event: ReadEvent) -> EventDocument:
        """Return an event as a document."""
        return cls.model_validate(event.model_dump(mode="json", exclude={"repeat_key"}))


class DeploymentDocument(Document):
    """A model's release as it is now."""

    id: TrialId
    model: str
    generation: int
    strategy: Strategy
    version: str = Field(description="the stable version")
    variants: list[Variant]
    canary: CanaryPlan | None = None
    began_at: float
    updated_at: float
    actor: str
    reason: str
    ready: bool = Field(description="whether a live worker has every version loaded")

    @classmethod
    def of(cls, release: Release, ready: bool) -> DeploymentDocument:
        """Return a release as a document."""
        return cls(
            id=release.id,
            model=release.model,
            generation=release.generation,
            strategy=release.strategy,
            version=release.stable.version,
            variants=list(release.variants),
            canary=release.canary,
            began_at=release.began_at,
            updated_at=release.updated_at,
            actor=release.actor,
            reason=release.reason,
            ready=ready,
        )


class DeploymentList(Document):
    """Every model's release."""

    deployments: list[DeploymentDocument]


class Deployed(Document):
    """The result of a change."""

    event: EventDocument
    deployment: DeploymentDocument | None
    ready: bool


class CanaryDocument(Document):
    """A canary: its evidence if it is running, its events if it is over."""

    id: TrialId
    status: Literal["running", "promoted", "rolled_back"]
    deployment: DeploymentDocument | None = None
    statistics: dict[str, Any] | None = Field(default=None, description="counts, latency and evidence of both versions")
    events: list[EventDocument] = Field(default_factory=list)
    history: dict[str, Any] | None = Field(
        default=None, description="log evidence of each comparison, and the failure difference's bounds, over time"
    )

    @model_validator(mode="after")
    def _has_history(self) -> CanaryDocument:
        """Take the history from the statistics or, once it is over, from the event that ended it."""
        ends = (event.data.get("evidence") or {} for event in self.events)
        found = next((each["history"] for each in (self.statistics or {}, *ends) if each.get("history")), None)
        if self.history is None and found is not None:
            self.__dict__["history"] = found
        return self


class ExperimentDocument(Document):
    """An experiment and its results by variant."""

    id: TrialId
    name: str
    model: str
    status: Literal["running", "stopped"]
    variants: list[dict[str, Any]]
    results: dict[str, Any] | None = None


class ExperimentList(Document):
    """The experiments, newest first, without their results."""

    experiments: list[ExperimentDocument]


class HistoryPage(Document):
    """One page of the releases' history, newest first."""

    events: list[EventDocument]
    page: int
    per_page: int
    total: int
