"""What people ask of a release, and what came of it."""

from __future__ import annotations

from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from .releases import VersionSpec


class Command(BaseModel):
    """A wish for one model's release.

    `based_on` is the generation that its author saw (0: no release yet; None: whatever it is now). After `expires_at`
    nobody waits for it any more, and it must not be carried out.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["deploy"]
    model: str
    command_id: str = Field(default_factory=lambda: uuid4().hex)
    based_on: int | None = None
    version: VersionSpec
    actor: str = ""
    reason: str = ""
    issued_at: float
    expires_at: float


class Event(BaseModel):
    """Something that happened. `command_id` names the command that it answers; `problem` says why one was refused."""

    model_config = ConfigDict(frozen=True)

    event_id: str
    kind: Literal["release.deployed", "command.refused"]
    model: str
    at: float
    generation: int = 0
    command_id: str = ""
    actor: str = ""
    summary: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    problem: dict[str, Any] | None = None
