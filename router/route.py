"""Where a request goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Route:
    """Where one request goes, and how many milliseconds it is likely to wait there."""

    topic: str
    partition: int
    replica: str
    variant: str
    version: str
    identity: str
    trial: int
    wait_ms: float
    shadow: Route | None = None
