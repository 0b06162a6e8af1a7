"""The embedded broker's settings."""

from __future__ import annotations

from .role import RoleSettings
from .storage import StorageSettings


class BrokerSettings(RoleSettings, StorageSettings):
    """Its address is `kafka`, its folder lies in `data`."""
