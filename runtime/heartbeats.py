"""Sends a replica's heartbeats: on each change, several times a second while requests come, and once a second otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

from ..broker.kafka.outbox import Outbox
from ..schemas.payloads.replicas import Heartbeat
from ..schemas.settings.mesh import MeshSettings

# A replica is idle when it has had no request for so many seconds.
IDLE_AFTER = 1.0


class Announcer:
    """Publishes the heartbeat that `describe` returns, with the time until the next one, and a farewell at the end."""

    def __init__(self, settings: MeshSettings, outbox: Outbox, describe: Callable[[], Heartbeat]) -> None:
        self._busy_interval = settings.heartbeat_interval
        self._idle_interval = max(settings.heartbeat_interval, settings.idle_heartbeat_interval)
        self._topic = settings.topics().replicas.name
        self._outbox = outbox
        self._describe = describe
        self._loop = asyncio.get_running_loop()
        self._last_request = -math.inf
        self._idle = True
        self._woken = asyncio.Event()
        self._leaving = False

    def note_request(self) -> None:
        """Note a request. The first one after a pause sends a heartbeat at once, which the request's sender waits for."""
        self._last_request = self._loop.time()
        if self._idle:
            self._idle = False
            self._woken.set()

    def announce(self) -> None:
        """Publish a heartbeat now, after a change that others wait for."""
        interval = self._idle_interval if self._idle else self._busy_interval
        heartbeat = self._describe().model_copy(
            update={"leaving": self._leaving, "interval": interval, "idle": self._idle}
        )
        self._outbox.send(self._topic, heartbeat.model_dump_json().encode(), key=heartbeat.replica)

    def farewell(self) -> None:
        """Publish that this replica takes no more work."""
        self._leaving = True  # in all later heartbeats too
        self.announce()

    async def leave(self) -> None:
        """Publish the farewell, and return once senders have received it. Records sent before that must still be handled."""
        self.farewell()
        await asyncio.sleep(3 * self._busy_interval)

    async def run(self) -> None:
        """Publish heartbeats until cancelled."""
        while True:
            self._idle = self._loop.time() - self._last_request > IDLE_AFTER
            self._woken.clear()
            self.announce()
            if self._idle:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_interval):
                        await self._woken.wait()
            else:
                await asyncio.sleep(self._busy_interval)
