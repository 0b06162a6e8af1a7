"""What is asked of a model's release, by people and by the judge: the records on `commands`, a class for each kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .profiles import Profile
from .releases import CanaryPlan, Variant, VersionSpec


class CommandBase(BaseModel):
    """What every command says. `based_on` is the generation that its author saw (0: no release yet; None: whatever it is now).

    After `expires_at` nobody waits for it any more, and it must not be carried out.
    """

    # Aliases are names that records have had from the start.
    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    kind: str
    model: str
    command_id: str = Field(default_factory=lambda: uuid4().hex)
    based_on: int | None = None
    actor: str = ""
    source: str = Field(default="", description="the address that it was asked from")
    reason: str = ""
    issued_at: float
    expires_at: float


class TrialCommand(CommandBase):
    """A command about what is running. `trial` is the trial that it means; None: whichever it is."""

    trial: int | None = None


class JudgedCommand(TrialCommand):
    """A command that may say what it was decided by."""

    evidence: dict[str, Any] = Field(default_factory=dict, description="what was known of the trial")


class Deploy(CommandBase):
    """Send everything to a version."""

    kind: Literal["deploy"] = "deploy"
    version: VersionSpec


class StartCanary(CommandBase):
    """Send a share of the requests to a candidate, and judge it."""

    kind: Literal["start_canary"] = "start_canary"
    version: VersionSpec
    percentage: float | None = Field(
        default=None, description="the candidate's share; a plan with steps has its own, and this counts for nothing"
    )
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


class StartShadow(CommandBase):
    """Send copies of the requests to a version whose answers nobody gets."""

    kind: Literal["start_shadow"] = "start_shadow"
    version: VersionSpec
    percentage: float = Field(description="share of the requests that are copied")


class StopShadow(TrialCommand):
    """Send no more copies."""

    kind: Literal["stop_shadow"] = "stop_shadow"


class StartExperiment(CommandBase):
    """Share the users out over several versions."""

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
    """Give a version the reference that its first live rows made."""

    kind: Literal["set_profile"] = "set_profile"
    version: VersionSpec
    profile: Profile


class ServeOriginal(CommandBase):
    """Serve a version by the model itself and no more by its compiled form."""

    kind: Literal["serve_original"] = "serve_original"
    version: VersionSpec


class Remove(CommandBase):
    """End the release, whatever runs."""

    kind: Literal["remove"] = "remove"


Command: TypeAlias = Annotated[
    Deploy
    | StartCanary
    | StepCanary
    | Promote
    | Rollback
    | StartShadow
    | StopShadow
    | StartExperiment
    | StopExperiment
    | SetProfile
    | ServeOriginal
    | Remove,
    Field(discriminator="kind"),
]
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


def read_command(value: bytes | str) -> Command:
    """Return the command that a record holds. Raises ValidationError."""
    return _COMMAND.validate_json(value)
