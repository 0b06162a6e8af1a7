"""Injected faults, only where MODELMESH_CHAOS is enabled."""

from __future__ import annotations

import asyncio
import random
import time

import structlog

from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.views.faults import FaultsView
from ..schemas.payloads.chaos import Fault, FaultKind
from ..schemas.settings.mesh import MeshSettings

log = structlog.get_logger(__name__)


class Chaos:
    """The active faults of this replica."""

    def __init__(self, settings: MeshSettings) -> None:
        self._replica = settings.name
        self._view = FaultsView(settings, self._warn) if settings.chaos else None

    async def run(self) -> None:
        """Follow the faults until cancelled; if chaos is disabled, do nothing."""
        if self._view is not None:
            await self._view.run()
        await asyncio.Event().wait()

    def report_to(self, dead_letters: DeadLetterWriter) -> None:
        """Send poison records to the dead letters."""
        if self._view is not None:
            self._view.report_to(dead_letters)

    def find(self, kind: FaultKind, **where: str) -> Fault | None:
        """Return a fault of this kind that hits here and now, or None."""
        if self._view is None or not self._view.faults:
            return None
        now = time.time()
        for fault in self._view.active():
            if fault.kind == kind and fault.hits(self._replica, now, **where) and random.random() < fault.share:
                return fault
        return None

    def send_delay(self, topic: str) -> float:
        """Return the seconds by which to delay a record for a topic; 0 without a fault."""
        fault = self.find("latency", topic=topic)
        return fault.milliseconds / 1000 if fault is not None and fault.topic else 0.0

    def _warn(self, fault: Fault) -> None:
        log.warning("chaos.on", fault=fault.model_dump(exclude_defaults=True))
