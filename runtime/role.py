"""What all roles have in common: they run until they are told to stop, or until a part of them fails."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry


class Role(ABC):
    """A long-running part of ModelMesh: router, worker, control plane or gateway."""

    registry: CollectorRegistry

    @abstractmethod
    def health(self) -> dict[str, Any]:
        """Return what /health says: "ready" and, beside it, why."""

    @abstractmethod
    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; finish what is in hand; raise what made it fail."""

    async def until_stopped(self, stop: asyncio.Event, parts: Sequence[asyncio.Future[Any]]) -> None:
        """Return when `stop` is set. Raises the error of the first part that fails; parts do not end by themselves."""
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopping, *parts], return_when=asyncio.FIRST_COMPLETED)
            for part in done - {stopping}:
                part.result()
        finally:
            stopping.cancel()
