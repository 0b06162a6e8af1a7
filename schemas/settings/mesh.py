"""What all processes and clients of one mesh share."""

from __future__ import annotations

import os
import socket

from pydantic import Field

from ..topics import Topics
from .kafka import KafkaSettings


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class MeshSettings(KafkaSettings):
    """Topics, group membership, heartbeats, and the limits that hold from the client to the worker."""

    prefix: str = Field(default="modelmesh", description="first part of every topic and group name")
    name: str = Field(default_factory=_default_name, description="this replica's name; unique in the mesh")
    request_partitions: int = Field(default=8, ge=1, description="partitions of the requests topic")
    model_partitions: int = Field(default=8, ge=1, description="partitions of each model's topic")
    reply_partitions: int = Field(default=32, ge=1, description="partitions of the replies topic")
    replication: int = Field(default=1, ge=1, description="replication factor of the topics")
    session_timeout: float = Field(
        default=10.0, ge=6.0, description="a group member that is silent for longer loses its partitions"
    )
    heartbeat_interval: float = Field(
        default=0.2, gt=0, description="time between two heartbeats of a router or worker that handles requests"
    )
    idle_heartbeat_interval: float = Field(
        default=1.0, gt=0, description="time between two heartbeats of any other role; a change is announced at once"
    )
    replica_timeout: float = Field(
        default=0.6,
        gt=0,
        description="a busy replica that is silent for longer receives no requests; neither does an idle one that sends no "
        "heartbeat for so long after a request",
    )
    max_deadline: float = Field(default=60.0, gt=0, description="longest deadline that a request may ask for")
    max_body_bytes: int = Field(default=4 * 1024 * 1024, gt=0, description="largest prediction request")
    redis: str = Field(
        default="", description="Redis URL for the prediction cache and rate limits; empty: kept in the process"
    )
    chaos: bool = Field(default=False, description="whether `modelmesh chaos` may inject faults into this role")

    def topics(self) -> Topics:
        """Return the topics of this mesh."""
        return Topics(
            self.prefix,
            request_partitions=self.request_partitions,
            model_partitions=self.model_partitions,
            reply_partitions=self.reply_partitions,
        )

    @property
    def instance(self) -> str | None:
        """The name for static group membership; None for a generated name, which no later process will have."""
        return self.name if "name" in self.model_fields_set else None

    @property
    def max_record_bytes(self) -> int:
        """The largest Kafka record: room for two bodies and their headers, and at least 4 MiB for the mesh's own records."""
        return max(2 * self.max_body_bytes, 4 * 1024 * 1024) + 64 * 1024
