"""The base class of all roles."""

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
        """Return the body of /health: "ready" and details."""

    @abstractmethod
    async def start(self, parts: Lifecycle) -> None:
        """Start the role's parts, which `parts` watches and stops in reverse order; return once the role is ready."""
