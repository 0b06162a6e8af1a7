"""What all roles have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from prometheus_client import CollectorRegistry

from .lifecycle import Lifecycle


class Role(ABC):
    """A long-running process of ModelMesh: gateway, router, worker, control plane, recorder or the embedded broker."""

    registry: CollectorRegistry

    @abstractmethod
    def health(self) -> dict[str, Any]:
        """Return what /health says: "ready" and, beside it, why."""

    @abstractmethod
    async def start(self, parts: Lifecycle) -> None:
        """Start the role's parts; return once it works. They are watched, and stopped in reverse order, by `parts`."""
