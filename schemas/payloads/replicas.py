"""Heartbeats: what each running role says of itself several times a second."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ReplicaRole = Literal["router", "worker", "control", "recorder"]


BreakerState = Literal["closed", "half_open", "open"]


class ModelLoad(BaseModel):
    """What a worker does for one model: the partitions it holds, the versions it has loaded, and its work in hand.

    A router says by `loaded` and `identities` which versions it can send requests to. Two versions that were registered one
    after the other under the same number differ by identity alone; an older role's heartbeat has no identities.
    """

    model_config = ConfigDict(frozen=True)

    partitions: tuple[int, ...] = ()
    loaded: tuple[str, ...] = ()
    identities: dict[str, str] = Field(default_factory=dict, description="number of what is loaded, by its identity")
    failed: dict[str, str] = Field(default_factory=dict, description="versions that could not be loaded, and why")
    ages: dict[str, float] = Field(
        default_factory=dict, description="seconds since a version was loaded, while few, by identity"
    )
    breakers: dict[str, BreakerState] = Field(
        default_factory=dict, description="those that are not closed, by identity"
    )
    queued: int = 0
    in_service: int = 0
    answered: int = Field(default=0, description="requests answered in this life of the worker")
    lag: int = Field(default=0, description="records of its partitions that are not finished")
    batch_requests: float = Field(default=0.0, description="requests in a batch, on average of late")
    service_ms: float = Field(default=0.0, description="peak EWMA of one batch's time in the model")
    request_ms: float = Field(default=0.0, description="what a request costs when the batches are full")

    def has(self, version: str, identity: str) -> bool:
        """Whether a version is loaded; of an older role its number is all that is known."""
        return identity in self.identities if self.identities else version in self.loaded


class Heartbeat(BaseModel):
    """A replica's announcement. `epoch` differs between two lives of a replica with the same name."""

    model_config = ConfigDict(frozen=True)

    replica: str
    role: ReplicaRole
    epoch: str
    at: float
    pid: int
    leaving: bool = False
    chaos: bool = Field(default=False, description="whether faults may be injected here")
    partitions: tuple[int, ...] = Field(default=(), description="of the requests topic; a router's")
    models: dict[str, ModelLoad] = Field(default_factory=dict)
