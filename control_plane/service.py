"""The control plane role: the Faust app with the releases, and the projection of their events into the database."""

from __future__ import annotations

import logging
import os
import time
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from ..broker.kafka.connection import make_producer
from ..broker.kafka.outbox import Outbox
from ..runtime.heartbeats import Announcer
from ..runtime.lifecycle import Lifecycle
from ..runtime.role import Role
from ..schemas.payloads.replicas import Heartbeat
from ..schemas.settings.control import ControlSettings
from .history import HistoryProjection
from .metrics import ControlMetrics
from .releases.app import ReleasesApp


class ControlPlane(Role):
    """The only writer of the releases."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._epoch = uuid4().hex
        self.registry = CollectorRegistry()
        self._app = ReleasesApp(settings).app
        self._producer = make_producer(settings)
        self._outbox = Outbox(self._producer)
        self._projection = HistoryProjection(settings, self._outbox)
        self._announcer = Announcer(settings, self._outbox, self._describe)
        self._metrics = ControlMetrics(settings, self.registry)
        self._recovered = False
        for name in ("faust", "mode", "aiokafka"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def health(self) -> dict[str, Any]:
        """Ready when the tables have been recovered; the history may lag."""
        return {"ready": self._recovered, "history": self._projection.state}

    async def start(self, parts: Lifecycle) -> None:
        """Start the app, the history and the metrics."""
        await parts.start("producer", self._producer.start(), self._producer.stop)
        parts.run("outbox", self._outbox.run())
        self._app.finalize()
        await parts.start("releases", self._app.start(), self._app.stop)
        parts.run("releases' agents", self._watch_app())
        parts.run("history", self._projection.run())
        for name, part in self._metrics.parts().items():
            parts.run(name, part.run())
        parts.at_end("farewell", self._announcer.leave)
        parts.run("heartbeats", self._announce_when_recovered())

    async def _watch_app(self) -> None:
        await self._app.wait_until_stopped()
        if self._app.crash_reason is not None:
            raise self._app.crash_reason
        raise RuntimeError("the Faust app stopped by itself")

    async def _announce_when_recovered(self) -> None:
        await self._app.tables.recovery.completed.wait()
        self._recovered = True
        await self._announcer.run()

    def _describe(self) -> Heartbeat:
        return Heartbeat(
            replica=self._settings.name, role="control", epoch=self._epoch, at=time.time(), pid=os.getpid()
        )
