"""Where a request goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Route:
    """The destination of a request; `wait_ms` is the estimated wait there in milliseconds."""

    topic: str
    partition: int
    replica: str
    variant: str
    version: str
    identity: str
    trial: int
    generation: int
    wait_ms: float
    shadow: Route | None = None
