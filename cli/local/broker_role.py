"""The broker role: the embedded Kafka in the foreground."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from ...broker.embedded.progress import Progress
from ...broker.embedded.server import EmbeddedKafka
from ...runtime.role import Role
from ...schemas.errors import BrokerUnavailable
from ...schemas.settings import Settings


class Broker(Role):
    """Keeps one Kafka running, and starts it again when it dies."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        # Under the name by which MODELMESH_KAFKA has clients look for it.
        host, _, port = settings.kafka.rpartition(":")
        self.kafka = EmbeddedKafka(settings.data / "kafka", port=int(port), advertised=host)
        self.registry = CollectorRegistry()
        self._progress = progress
        self.started = asyncio.Event()

    def health(self) -> dict[str, Any]:
        """Ready while the JVM runs and has answered."""
        return {"ready": self.started.is_set() and self.kafka.pid is not None, "bootstrap": self.kafka.bootstrap}

    async def run(self, stop: asyncio.Event) -> None:
        """Run Kafka until `stop` is set. Raises BrokerUnavailable when it dies three times within a minute."""
        loop = asyncio.get_running_loop()
        deaths: list[float] = []
        try:
            while not stop.is_set():
                await self.kafka.start(self._progress)
                self.started.set()
                dying = asyncio.create_task(self.kafka.wait())
                stopping = asyncio.create_task(stop.wait())
                await asyncio.wait({dying, stopping}, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                if dying.done() and not stop.is_set():
                    deaths = [*(death for death in deaths if death > loop.time() - 60), loop.time()]
                    if len(deaths) == 3:
                        raise BrokerUnavailable("Kafka died three times within a minute; its log says why")
                dying.cancel()
        finally:
            await self.kafka.stop()
