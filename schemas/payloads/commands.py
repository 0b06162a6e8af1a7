"""The records on `commands`: changes of a model's release, by people and by the judge. A class for each kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .profiles import Profile
from .releases import CanaryPlan, Variant, VersionSpec


class CommandBase(BaseModel):
    """The fields of every command. `based_on` is the generation that its author saw (0: no release; None: any).

    After `expires_at` its author no longer waits, and it must not be applied.
    """

    # Aliases are the names in records.
    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    kind: str
    model: str
    command_id: str = Field(default_factory=lambda: uuid4().hex)
    repeat_key: str = Field(default="", description="the same in all repetitions of a request with an Idempotency-Key")
    based_on: int | None = None
    actor: str = ""
    source: str = Field(default="", description="the address that it came from")
    reason: str = ""
    issued_at: float
    expires_at: float


class TrialCommand(CommandBase):
    """A command about the running trial. `trial` must be its number; None: any."""

    trial: int | None = None


class JudgedCommand(TrialCommand):
    """A command that may carry the evidence for its decision."""

    evidence: dict[str, Any] = Field(default_factory=dict, description="the trial's evidence at the decision")
    judged_generation: int | None = Field(
        default=None, description="the generation that the judge decided on; None: a person's command"
    )


class Deploy(CommandBase):
    """Send everything to a version."""

    kind: Literal["deploy"] = "deploy"
    version: VersionSpec


class StartCanary(CommandBase):
    """Send a share of the requests to a candidate, and judge it."""

    kind: Literal["start_canary"] = "start_canary"
    version: VersionSpec
    percentage: float | None = Field(default=None, description="the candidate's share; ignored if the plan has steps")
    canary: CanaryPlan | None = Field(default=None, description="None: a person raises the share and promotes")


class StepCanary(JudgedCommand):
    """Change the candidate's share."""

    kind: Literal["step_canary"] = "step_canary"
    percentage: float


class Promote(JudgedCommand):
    """Send everything to the candidate."""

    kind: Literal["promote"] = "promote"


class Rollback(JudgedCommand):
    """Send everything to stable again."""

    kind: Literal["rollback"] = "rollback"


class PauseJudge(TrialCommand):
    """Let the judge take neither steps nor rollbacks by itself."""

    kind: Literal["pause_judge"] = "pause_judge"
    until: float | None = Field(default=None, description="when it resumes by itself; None: when a person says so")


class ResumeJudge(JudgedCommand):
    """Let the judge decide again. The judge's own command when the time of a pause is over."""

    kind: Literal["resume_judge"] = "resume_judge"


class ExcludeComparison(TrialCommand):
    """Let a comparison, or a rule, decide nothing. It is still shown."""

    kind: Literal["exclude_comparison"] = "exclude_comparison"
    comparison: str


class IncludeComparison(TrialCommand):
    """Let an excluded comparison decide again, with all of its evidence."""

    kind: Literal["include_comparison"] = "include_comparison"
    comparison: str


class HoldStep(TrialCommand):
    """Let the judge leave the present step no earlier than `until`. It still rolls back."""

    kind: Literal["hold_step"] = "hold_step"
    until: float | None = Field(description="seconds since the epoch; None: end the hold")


class StartShadow(CommandBase):
    """Send copies of the requests to a version whose answers are only compared."""

    kind: Literal["start_shadow"] = "start_shadow"
    version: VersionSpec
    percentage: float = Field(description="share of the requests that are copied")


class StopShadow(TrialCommand):
    """Send no more copies."""

    kind: Literal["stop_shadow"] = "stop_shadow"


class StartExperiment(CommandBase):
    """Split the users among several versions."""

    kind: Literal["start_experiment"] = "start_experiment"
    variants: tuple[Variant, ...] = Field(description="the arms, the control first")
    versions: dict[str, VersionSpec] = Field(description="of the arms")
    name: str = ""


class StopExperiment(JudgedCommand):
    """Send everything to one arm."""

    kind: Literal["stop_experiment"] = "stop_experiment"
    winner: str = Field(
        default="",
        validation_alias="name",
        serialization_alias="name",
        description="the arm's name or its version; empty: the control",
    )


class SetProfile(CommandBase):
    """Set a version's reference, made from its first live rows."""

    kind: Literal["set_profile"] = "set_profile"
    version: VersionSpec
    profile: Profile


class ServeOriginal(CommandBase):
    """Serve a version by the original model instead of its compiled form."""

    kind: Literal["serve_original"] = "serve_original"
    version: VersionSpec


class Remove(CommandBase):
    """End the release, even during a trial."""

    kind: Literal["remove"] = "remove"


Command: TypeAlias = Annotated[
    Deploy
    | StartCanary
    | StepCanary
    | Promote
    | Rollback
    | PauseJudge
    | ResumeJudge
    | ExcludeComparison
    | IncludeComparison
    | HoldStep
    | StartShadow
    | StopShadow
    | StartExperiment
    | StopExperiment
    | SetProfile
    | ServeOriginal
    | Remove,
    Field(discriminator="kind"),
]


class UnknownCommand(CommandBase):
    """A command of a kind that this release does not know. Its author gets a refusal."""


ReadCommand: TypeAlias = Command | UnknownCommand
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)
COMMAND_KINDS = frozenset(kind.model_fields["kind"].default for kind in get_args(get_args(Command)[0]))


def read_command(value: bytes | str) -> ReadCommand:
    """Return the command in a record's value. Raises ValidationError."""
    try:
        return _COMMAND.validate_json(value)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] != "union_tag_invalid":
            raise
        return UnknownCommand.model_validate_json(value)
