"""The data of each kind of event."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ..trial_id import TrialId
from .releases import CanaryPlan, Strategy, Variant
from .unknown_values import OrUnknown


class EventData(BaseModel):
    """The data of one kind of event. Only fields that were set are written, and unknown fields are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_serializer(mode="wrap")
    def _as_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # With the serializer, the schema would be only "an object".
        plain: Any = {key: value for key, value in schema.items() if key != "serialization"}
        return handler(plain)


class SourceData(EventData):
    """The data of an event that answers a request."""

    source: str = Field(default="", description="an address, or `cli`")


class AnswerData(SourceData):
    """The data of an event that answers a command."""

    reason: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict, description="the evidence for the decision")


class ReleaseData(AnswerData):
    """The release after a command."""

    strategy: OrUnknown[Strategy]
    version: str = Field(description="the stable version")
    digest: str = Field(default="", description="the stable version's; older records have none")
    identity: str = Field(default="", description="the stable version's; older records have none")
    trial: int


class DeployedData(ReleaseData):
    """Of a version that went live."""

    previous: str | None = Field(default=None, description="the version that was live before")


class RemovedData(AnswerData):
    """Of a release that ended; empty if there was none."""

    removed: dict[str, str] = Field(default_factory=dict, description="digests of the served artifacts, by version")
    id: TrialId | None = None


class TrialData(ReleaseData):
    """Of a trial."""

    id: TrialId


class CanaryData(TrialData):
    """Of a canary."""

    candidate: str


class CanaryShareData(CanaryData):
    """Of a candidate's share."""

    percentage: float


class CanaryStartedData(CanaryShareData):
    """Of a canary that begins, with its rules, so that it can be judged again under others."""

    canary: CanaryPlan = CanaryPlan()


class CanaryPromotedData(CanaryData):
    """Of a candidate that is stable now."""

    previous: str = Field(description="the version that was stable before")


class CanaryPausedData(CanaryData):
    """Of a canary whose judge decides nothing by itself."""

    until: float | None = Field(default=None, description="when it resumes by itself; null: when a person says so")


class CanaryComparisonData(CanaryData):
    """Of a comparison, or a rule, that a person excluded from a canary's decision or included again."""

    comparison: str


class CanaryHeldData(CanaryShareData):
    """Of a canary whose present step is not left for some time."""

    until: float | None = Field(default=None, description="seconds since the epoch; null: the hold is over")


class CanaryWarnedData(EventData):
    """Of a candidate that answers differently from stable, or is less accurate."""

    what: str = Field(
        default="outputs",
        description="outputs: their distribution differs; pairs: answers to the same requests; accuracy: by true labels",
    )
    evidence: dict[str, Any]
    outputs: dict[str, dict[str, int]] = Field(description="answers by version and label")
    pairs: dict[str, Any] = Field(
        default_factory=dict, description="answers to the same requests; older records have none"
    )


class ShadowData(TrialData):
    """Of a shadow."""

    shadow: str = Field(description="the version that gets the copies")


class ShadowStartedData(ShadowData):
    """Of a shadow that begins."""

    percentage: float


class ExperimentStartedData(TrialData):
    """Of an experiment that begins."""

    name: str
    variants: tuple[Variant, ...]
    before: str = Field(default="", description="the version that answered everything")


class ExperimentStoppedData(TrialData):
    """Of an experiment that is over."""

    winner: str = Field(description="the version that is live now")


class DiffersData(ReleaseData):
    """Of a compiled form whose answers differ from the model's."""

    version: str
    digest: str = Field(description="of the compiled form")


class ProfileData(ReleaseData):
    """Of a version whose first live rows are its reference."""

    rows: int


class DriftData(EventData):
    """Of inputs that drifted."""

    version: str
    features: list[dict[str, Any]] = Field(description="those that drifted most")
    rows: int


class RegisteredData(SourceData):
    """Of a version that was registered."""

    version: str
    digest: str = Field(description="of the registered file")
    artifact_digest: str = Field(default="", description="of the served artifact")


class ModelDeletedData(SourceData):
    """Of a version that was deleted, or of a model with all of them."""

    version: str = ""
    digest: str = ""
    versions: dict[str, str] = Field(default_factory=dict, description="digests by version")


class KeyData(SourceData):
    """Of an API key."""

    key: str
    scopes: tuple[str, ...]


class BreakerData(EventData):
    """Of a circuit breaker: a router's for a replica, or a worker's for a version."""

    replica: str
    version: str = ""


class FaultStartedData(EventData):
    """Of a fault that was switched on."""

    fault: dict[str, Any]


class FaultStoppedData(EventData):
    """Of a fault that was switched off."""

    fault_id: str
