"""The documents of monitoring: what the judge knows, what works, and what the dashboard shows."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from .document import Document


class Monitored(Document):
    """What the judge knows of a model; see docs/releases.md for the figures."""

    model_config = ConfigDict(extra="allow")

    model: str
    at: float


class Latencies(Document):
    """Latency windows by model and version."""

    models: dict[str, Any]


class Errors(Document):
    """Requests, failures and the failure rate by model and version."""

    models: dict[str, Any]


class Health(Document):
    """What works. `at` is this machine's clock, in seconds since the epoch."""

    at: float
    ready: bool
    checks: dict[str, bool]
    control_plane: bool
    replicas: list[str]


class State(Document):
    """What the dashboard shows at one moment."""

    at: float
    models: list[dict[str, Any]]
    replicas: list[dict[str, Any]]
