"""Heartbeats: the state of each replica, sent on each change and several times a second while it has requests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .unknown_values import OrUnknown

ReplicaRole = Literal["router", "worker", "control", "recorder"]


BreakerState = Literal["closed", "half_open", "open"]


class ModelLoad(BaseModel):
    """A worker's state for one model: its partitions, loaded versions and backlog.

    In a router's heartbeat, `loaded` and `identities` are the versions that it can reach. Versions that have had the same
    number differ by identity only; an older replica sends no identities.
    """

    model_config = ConfigDict(frozen=True)

    partitions: tuple[int, ...] = ()
    loaded: tuple[str, ...] = ()
    identities: dict[str, str] = Field(default_factory=dict, description="numbers of the loaded versions, by identity")
    failed: dict[str, str] = Field(default_factory=dict, description="versions that could not be loaded, and why")
    ages: dict[str, float] = Field(
        default_factory=dict, description="seconds since a version was loaded, during its warm-up, by identity"
    )
    breakers: dict[str, OrUnknown[BreakerState]] = Field(
        default_factory=dict, description="breakers that are not closed, by identity"
    )
    queued: int = 0
    in_service: int = 0
    answered: int = Field(default=0, description="requests answered in this epoch")
    lag: int = Field(default=0, description="records of its partitions that are not finished")
    batch_requests: float = Field(default=0.0, description="recent average of requests in a batch")
    service_ms: float = Field(default=0.0, description="peak EWMA of one batch's time in the model")
    request_ms: float = Field(default=0.0, description="what a request costs when the batches are full")

    def has(self, version: str, identity: str) -> bool:
        """Whether a version is loaded. An older replica is matched by number."""
        return identity in self.identities if self.identities else version in self.loaded


class Heartbeat(BaseModel):
    """A replica's state. `epoch` changes when the replica restarts."""

    model_config = ConfigDict(frozen=True)

    replica: str
    role: OrUnknown[ReplicaRole]
    epoch: str
    at: float
    pid: int
    interval: float = Field(default=0.0, description="seconds until the next one, at most; older roles do not say")
    idle: bool = Field(default=False, description="whether it has had no request lately, and sends heartbeats seldom")
    leaving: bool = False
    chaos: bool = Field(default=False, description="whether faults may be injected here")
    partitions: tuple[int, ...] = Field(default=(), description="of the requests topic; a router's")
    models: dict[str, ModelLoad] = Field(default_factory=dict)
