"""Sends a replica's heartbeats, several times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..broker.kafka.outbox import Outbox
from ..schemas.payloads.replicas import Heartbeat
from ..schemas.settings.mesh import MeshSettings


class Announcer:
    """Publishes the heartbeat that `describe` returns at every interval, and a farewell at the end."""

    def __init__(self, settings: MeshSettings, outbox: Outbox, describe: Callable[[], Heartbeat]) -> None:
        self._settings = settings
        self._topic = settings.topics().replicas.name
        self._outbox = outbox
        self._describe = describe
        self._leaving = False

    def announce(self) -> None:
        """Publish a heartbeat now, after a change that others wait for."""
        heartbeat = self._describe().model_copy(update={"leaving": self._leaving})
        self._outbox.send(self._topic, heartbeat.model_dump_json().encode(), key=heartbeat.replica)

    def farewell(self) -> None:
        """Publish that this replica takes no more work."""
        self._leaving = True  # in all later heartbeats too
        self.announce()

    async def leave(self) -> None:
        """Publish the farewell, and return once senders have received it. Records sent before that must still be handled."""
        self.farewell()
        await asyncio.sleep(3 * self._settings.heartbeat_interval)

    async def run(self) -> None:
        """Publish heartbeats until cancelled."""
        while True:
            self.announce()
            await asyncio.sleep(self._settings.heartbeat_interval)
