"""What every role has."""

from __future__ import annotations

from pydantic import Field

from .access import HttpSettings
from .mesh import MeshSettings


class RoleSettings(MeshSettings, HttpSettings):
    """A role's admin port, log, traces and shutdown."""

    admin_host: str = Field(default="127.0.0.1", description="address of a role's /health and /metrics")
    admin_port: int = Field(
        default=0, ge=0, le=65535, description="port of a role's /health and /metrics; 0: any free one"
    )
    log_level: str = Field(default="info", description="debug, info, warning or error")
    otlp: str = Field(
        default="", description="OTLP/HTTP address for traces, like http://host:4318/v1/traces; empty: no traces"
    )
    trace_sample: float = Field(
        default=0.01, ge=0, le=1, description="share of requests that are traced, unless the caller has decided"
    )
    drain_timeout: float = Field(default=20.0, gt=0, description="time in which a stopping role finishes its requests")
