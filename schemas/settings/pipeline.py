"""What the router and the workers share."""

from __future__ import annotations

from pydantic import Field

from .role import RoleSettings


class PipelineSettings(RoleSettings):
    """The consume loop, the circuit breakers, and how a replica takes up its share."""

    queue_limit: int = Field(default=2048, ge=1, description="records in hand of one partition before it is paused")
    commit_interval: float = Field(
        default=1.0,
        gt=0,
        description="longest time between two commits of finished offsets; 100 records wait 0.2 s at most",
    )
    warm_up: float = Field(
        default=5.0, ge=0, description="time in which a newly loaded version grows to its full share on a replica"
    )
    breaker_failures: float = Field(
        default=0.5, gt=0, le=1, description="share of failures that opens a circuit breaker"
    )
    breaker_requests: int = Field(
        default=20, ge=1, description="requests that a breaker must have seen before it opens"
    )
    breaker_window: float = Field(default=10.0, gt=0, description="how far back a breaker looks")
    breaker_recovery: float = Field(default=5.0, gt=0, description="time after which an open breaker allows probes")
    breaker_probes: int = Field(default=3, ge=1, description="probes that must all succeed to close a breaker")
