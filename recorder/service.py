"""The recorder role: what is written down and compared after the fact, in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from ..broker.kafka.connection import make_producer
from ..broker.kafka.outbox import Outbox
from ..runtime.heartbeats import Announcer
from ..runtime.role import Role
from ..schemas.payloads.replicas import Heartbeat
from ..schemas.settings import Settings
from ..telemetry.readings import add_lag
from .inference_recorder import InferenceRecorder
from .label_recorder import LabelRecorder
from .shadow_joiner import ShadowJoiner

# Whoever answers a request goes before, where they share a machine.
NICENESS = 10


class Recorder(Role):
    """Writes the inference log, compares answers with labels, and pairs shadow answers with production's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._epoch = uuid4().hex
        self.registry = CollectorRegistry()
        self._producer = make_producer(settings)
        self._outbox = Outbox(self._producer)
        self._joiner = ShadowJoiner(settings, self._outbox)
        self._inference = InferenceRecorder(settings, self._outbox) if settings.inference_log != "off" else None
        self._labels = LabelRecorder(settings, self._outbox)
        self._announcer = Announcer(settings, self._outbox, self._describe)
        if self._inference is not None:
            add_lag(self.registry, self._lag)

    def health(self) -> dict[str, Any]:
        """Ready at once: while the database is away the log holds what was not written down."""
        return {"ready": True, "inference_log": self._inference.state if self._inference is not None else "off"}

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set."""
        with contextlib.suppress(OSError, AttributeError):
            os.nice(NICENESS)
        await self._producer.start()
        sending = asyncio.create_task(self._outbox.run())
        tasks = [asyncio.create_task(self._announcer.run()), asyncio.create_task(self._joiner.run())]
        if self._inference is not None:
            tasks += [asyncio.create_task(self._inference.run()), asyncio.create_task(self._labels.run())]
        try:
            await self.until_stopped(stop, [sending, *tasks])
        finally:
            for task in tasks:
                task.cancel()
            self._announcer.farewell()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._outbox.flushed()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await self._producer.stop()

    def _lag(self) -> Iterator[tuple[tuple[str, str], float]]:
        assert self._inference is not None
        return chain(self._inference.lag(), self._labels.lag())

    def _describe(self) -> Heartbeat:
        return Heartbeat(
            replica=self._settings.name, role="recorder", epoch=self._epoch, at=time.time(), pid=os.getpid()
        )
