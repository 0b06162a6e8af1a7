"""The broker role: the embedded Kafka in the foreground."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from ...broker.embedded.progress import Progress
from ...broker.embedded.server import EmbeddedKafka
from ...runtime.lifecycle import Lifecycle
from ...runtime.role import Role
from ...schemas.errors import BrokerUnavailable
from ...schemas.settings.broker import BrokerSettings

# Kafka flushes its log, and the JVM may write a class archive for the next start.
JVM_STOP_SECONDS = 60.0


class Broker(Role):
    """Runs one Kafka and restarts it when it dies."""

    def __init__(self, settings: BrokerSettings, progress: Progress) -> None:
        # Advertised under the host name that clients use, from MODELMESH_KAFKA.
        host, _, port = settings.kafka.rpartition(":")
        self.kafka = EmbeddedKafka(settings.data / "kafka", port=int(port), advertised=host)
        self.registry = CollectorRegistry()
        self._progress = progress
        self.started = asyncio.Event()

    def health(self) -> dict[str, Any]:
        """Ready while the JVM runs and has answered."""
        return {"ready": self.started.is_set() and self.kafka.pid is not None, "bootstrap": self.kafka.bootstrap}

    async def start(self, parts: Lifecycle) -> None:
        """Start Kafka, and restart it when it dies."""
        await parts.start("kafka", self.kafka.start(self._progress), self.kafka.stop, stop_seconds=JVM_STOP_SECONDS)
        self.started.set()
        parts.run("kafka's watch", self._keep_running())

    async def _keep_running(self) -> None:
        """Restart Kafka each time it dies. Raises BrokerUnavailable at the third time within a minute."""
        loop = asyncio.get_running_loop()
        deaths: list[float] = []
        while True:
            await self.kafka.wait()
            deaths = [*(death for death in deaths if death > loop.time() - 60), loop.time()]
            if len(deaths) == 3:
                raise BrokerUnavailable("Kafka died three times within a minute; see its log")
            await self.kafka.start(self._progress)
