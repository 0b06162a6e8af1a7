"""The router's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .pipeline import PipelineSettings


class RouterSettings(PipelineSettings):
    """Load balancing, admission and the prediction cache."""

    balancing: Literal["p2c", "random", "round_robin"] = Field(
        default="p2c", description="how a router chooses among replicas; all but p2c are for comparison"
    )
    queue_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of its remaining time that a request may wait for a worker; it is refused where it would wait longer",
    )
    cache: bool = Field(default=True, description="whether the answers of cacheable models are cached")
    cache_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="size of a router's own prediction cache")
    cache_patience: float = Field(default=0.005, gt=0, description="time limit of a lookup in Redis")
