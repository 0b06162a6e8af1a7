"""What is asked of a release, by people and by the judge, and what came of it."""

from __future__ import annotations

from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from .profiles import Profile
from .releases import CanaryPlan, Variant, VersionSpec

CommandKind = Literal[
    "deploy", "start_canary", "step_canary", "promote", "rollback",
    "start_shadow", "stop_shadow", "start_experiment", "stop_experiment", "set_profile",
    "serve_original", "remove",
]  # fmt: skip
EventKind = Literal[
    "release.deployed", "release.removed",
    "canary.started", "canary.stepped", "canary.promoted", "canary.rolled_back", "canary.warned",
    "shadow.started", "shadow.stopped", "experiment.started", "experiment.stopped",
    "drift.detected", "profile.learned", "command.refused",
    "version.differs", "model.registered", "model.deleted", "key.created", "key.revoked",
    "breaker.open", "breaker.half_open", "breaker.closed", "chaos.started", "chaos.stopped",
]  # fmt: skip


class Command(BaseModel):
    """A wish for one model's release.

    `based_on` is the generation that its author saw (0: no release yet; None: whatever it is now), `trial` the trial that it
    means. After `expires_at` nobody waits for it any more, and it must not be carried out.
    """

    model_config = ConfigDict(frozen=True)

    kind: CommandKind
    model: str
    command_id: str = Field(default_factory=lambda: uuid4().hex)
    based_on: int | None = None
    trial: int | None = None
    version: VersionSpec | None = Field(
        default=None, description="the version to deploy, or the candidate or the shadow"
    )
    percentage: float | None = Field(default=None, description="share of the traffic, or of the copies")
    canary: CanaryPlan | None = None
    variants: tuple[Variant, ...] = Field(default=(), description="an experiment's arms, the control first")
    versions: dict[str, VersionSpec] = Field(default_factory=dict, description="of the arms")
    name: str = Field(default="", description="an experiment's name; which version it was that won, when it stops")
    profile: Profile | None = None
    actor: str = ""
    source: str = Field(default="", description="the address that it was asked from")
    reason: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict, description="what the judge decided by")
    issued_at: float
    expires_at: float


class Event(BaseModel):
    """Something that happened. `command_id` names the command that it answers; `problem` says why one was refused."""

    model_config = ConfigDict(frozen=True)

    event_id: str
    kind: EventKind
    model: str
    at: float
    generation: int = 0
    command_id: str = ""
    actor: str = ""
    summary: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    problem: dict[str, Any] | None = None
