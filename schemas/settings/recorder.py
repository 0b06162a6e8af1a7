"""The recorder's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .role import RoleSettings
from .storage import StorageSettings


class RecorderSettings(RoleSettings, StorageSettings):
    """What the inference log keeps and for how long."""

    inference_log: Literal["off", "outcomes", "full"] = Field(
        default="full", description="what the inference log keeps: nothing, outcomes only, or bodies too"
    )
    inference_log_days: float = Field(default=7.0, gt=0, description="days that the inference log is kept")
