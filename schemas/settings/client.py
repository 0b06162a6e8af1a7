"""How requests are sent and retried."""

from __future__ import annotations

from pydantic import Field

from .mesh import MeshSettings


class ClientSettings(MeshSettings):
    """Deadlines, retries, and the limits on requests in flight of one client or gateway."""

    deadline: float = Field(default=10.0, gt=0, description="deadline of a request that names none")
    max_in_flight: int = Field(
        default=8192, ge=1, description="requests in flight in one client or gateway; more are refused"
    )
    max_in_flight_bytes: int = Field(
        default=512 * 1024 * 1024, gt=0, description="bytes of the requests in flight in one client or gateway"
    )
    max_attempts: int = Field(default=3, ge=1, description="how often a request is sent when no answer comes")
    retry_least: float = Field(default=0.1, gt=0, description="shortest time after which a request is sent again")
    retry_budget: float = Field(default=0.2, ge=0, le=1, description="average retries per request of one client")
