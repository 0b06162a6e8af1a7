"""The control plane's settings."""

from __future__ import annotations

from pydantic import Field

from .role import RoleSettings
from .storage import StorageSettings


class ControlSettings(RoleSettings, StorageSettings):
    """Drift detection."""

    drift_window: int = Field(default=1000, ge=50, description="rows that are compared with the reference at a time")
    drift_alarm: float = Field(
        default=0.001, gt=0, le=0.1, description="false drift alarms per window, on average, while nothing changes"
    )
