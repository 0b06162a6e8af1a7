"""The settings of a replay."""

from __future__ import annotations

from .models import ModelSettings
from .storage import StorageSettings


class ReplaySettings(ModelSettings, StorageSettings):
    """A replay reads the requests, and loads a registered version or a file."""
