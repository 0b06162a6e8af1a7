"""The documents of monitoring: the judge's figures, health, and the dashboard's state."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from .document import Document


class Monitored(Document):
    """The judge's figures of a model; docs/releases.md explains them."""

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
    """The health checks. `at` is this machine's clock, in seconds since the epoch."""

    at: float
    ready: bool
    checks: dict[str, bool]
    control_plane: bool
    replicas: list[str]


class State(Document):
    """The dashboard's content at one moment."""

    at: float
    models: list[dict[str, Any]]
    replicas: list[dict[str, Any]]
