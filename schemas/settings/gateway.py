"""The gateway's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from .access import AccessSettings
from .client import ClientSettings
from .models import ModelSettings
from .role import RoleSettings
from .storage import StorageSettings


class GatewaySettings(RoleSettings, ClientSettings, AccessSettings, ModelSettings, StorageSettings):
    """Ports, the limits of the HTTP API, registration and commands."""

    host: str = Field(default="127.0.0.1", description="address that the gateway listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="port that the gateway listens on")
    grpc_port: int | None = Field(
        default=None, ge=1, le=65535, description="port of the Open Inference Protocol over gRPC; none: not served"
    )
    access_log: Literal["off", "errors", "sampled", "all"] = Field(
        default="sampled",
        description="which HTTP requests are logged; sampled: all errors, and 50 others a second",
    )
    mesh_state: Path | None = Field(
        default=None,
        description="file that lists the other roles of a local mesh, whose metrics the gateway's /metrics then includes "
        "(`modelmesh up` sets it)",
    )
    max_batch_rows: int = Field(default=10_000, gt=0, description="most rows in one batch request")
    streams_per_key: int = Field(
        default=20, ge=1, description="open streams of events and of the dashboard per key or token"
    )
    seal_key: Path | None = Field(
        default=None, description="ed25519 private key (PEM) with which the gateway seals what is registered"
    )
    command_timeout: float = Field(default=5.0, gt=0, description="how long a command waits for the control plane")
    load_timeout: float = Field(
        default=30.0, gt=0, description="how long a deployment waits until a worker has the version loaded"
    )
    proofs_at_once: int = Field(default=4, ge=1, description="models that one gateway checks at once; others wait")
    registrations_per_key: int = Field(
        default=4, ge=1, description="registrations that one key or token may have under way in one gateway"
    )
