"""The injected faults, followed from the `chaos` topic."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiokafka import ConsumerRecord

from ...schemas.payloads.chaos import Fault
from ...schemas.settings.mesh import MeshSettings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.topic_follower import TopicFollower


class FaultsView:
    """`faults` by id, including expired ones; `on_fault` is called with each new fault that has not expired."""

    def __init__(self, settings: MeshSettings, on_fault: Callable[[Fault], None] = lambda fault: None) -> None:
        self.faults: dict[str, Fault] = {}
        self._on_fault = on_fault
        self._follower = TopicFollower(settings, settings.topics().chaos, self._on_record)
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()

    def report_to(self, dead_letters: DeadLetterWriter) -> None:
        """Send poison records to the dead letters."""
        self._follower.dead_letters = dead_letters

    def active(self) -> list[Fault]:
        """Return the active faults, and drop expired ones."""
        now = time.time()
        self.faults = {fault_id: fault for fault_id, fault in self.faults.items() if fault.until > now}
        return list(self.faults.values())

    def _on_record(self, record: ConsumerRecord) -> None:
        key = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self.faults.pop(key, None)
            return
        fault = Fault.model_validate_json(record.value)
        self.faults[key] = fault
        if fault.until > time.time():
            self._on_fault(fault)
