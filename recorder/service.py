"""The recorder role: stores and compares records off the request path."""

from __future__ import annotations

import contextlib
import os
import time
from itertools import chain
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from ..broker.kafka.connection import make_producer
from ..broker.kafka.outbox import Outbox
from ..runtime.heartbeats import Announcer
from ..runtime.lifecycle import Lifecycle
from ..runtime.role import Role
from ..schemas.payloads.replicas import Heartbeat
from ..schemas.settings.recorder import RecorderSettings
from ..telemetry.scraped import add_lag
from .inference_recorder import InferenceRecorder
from .label_recorder import LabelRecorder
from .shadow_joiner import ShadowJoiner

# On a shared machine, roles that answer requests have priority.
NICENESS = 10


class Recorder(Role):
    """Writes the inference log, compares answers with labels, and pairs shadow answers with production's."""

    def __init__(self, settings: RecorderSettings) -> None:
        self._settings = settings
        self._epoch = uuid4().hex
        self.registry = CollectorRegistry()
        self._producer = make_producer(settings)
        self._outbox = Outbox(self._producer)
        self._joiner = ShadowJoiner(settings, self._outbox)
        self._inference = InferenceRecorder(settings, self._outbox) if settings.inference_log != "off" else None
        self._labels = LabelRecorder(settings, self._outbox)
        self._announcer = Announcer(settings, self._outbox, self._describe)
        if (inference := self._inference) is not None:
            add_lag(self.registry, lambda: chain(inference.lag(), self._labels.lag()))

    def health(self) -> dict[str, Any]:
        """Always ready: while the database is down, the records stay in Kafka."""
        return {"ready": True, "inference_log": self._inference.state if self._inference is not None else "off"}

    async def start(self, parts: Lifecycle) -> None:
        """Start the parts."""
        with contextlib.suppress(OSError, AttributeError):
            os.nice(NICENESS)
        await parts.start("producer", self._producer.start(), self._producer.stop)
        parts.run("outbox", self._outbox.run())
        parts.at_end("outbox's last records", self._outbox.flushed)
        parts.run("shadow joiner", self._joiner.run())
        if self._inference is not None:
            parts.run("inference log", self._inference.run())
            parts.run("labels", self._labels.run())
        parts.at_end("farewell", self._announcer.leave)
        parts.run("heartbeats", self._announcer.run())

    def _describe(self) -> Heartbeat:
        return Heartbeat(
            replica=self._settings.name, role="recorder", epoch=self._epoch, at=time.time(), pid=os.getpid()
        )
