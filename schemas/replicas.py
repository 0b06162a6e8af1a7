"""Heartbeats: what each running role says of itself several times a second."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ReplicaRole = Literal["router", "worker", "control"]


class ModelLoad(BaseModel):
    """What a worker does for one model: the partitions it holds, the versions it has loaded, and its work in hand.

    A router says by `loaded` which versions it can send requests to.
    """

    model_config = ConfigDict(frozen=True)

    partitions: tuple[int, ...] = ()
    loaded: tuple[str, ...] = ()
    failed: dict[str, str] = Field(default_factory=dict, description="versions that could not be loaded, and why")
    queued: int = 0
    in_service: int = 0
    service_ms: float = Field(default=0.0, description="moving average of one batch's time in the model")


class Heartbeat(BaseModel):
    """A replica's announcement. `epoch` differs between two lives of a replica with the same name."""

    model_config = ConfigDict(frozen=True)

    replica: str
    role: ReplicaRole
    epoch: str
    at: float
    pid: int
    leaving: bool = False
    models: dict[str, ModelLoad] = Field(default_factory=dict)
