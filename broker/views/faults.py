"""The faults that are switched on, followed from the log."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiokafka import ConsumerRecord

from ...schemas.payloads.chaos import Fault
from ...schemas.settings import Settings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.topic_follower import TopicFollower


class FaultsView:
    """`faults` by id, those that have ended by themselves among them; `on_fault` hears of each that comes."""

    def __init__(self, settings: Settings, on_fault: Callable[[Fault], None] = lambda fault: None) -> None:
        self.faults: dict[str, Fault] = {}
        self._on_fault = on_fault
        self._follower = TopicFollower(settings, settings.topics().chaos, self._on_record)
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()

    def report_to(self, dead_letters: DeadLetterWriter) -> None:
        """Put what is no fault among the dead letters."""
        self._follower.dead_letters = dead_letters

    def active(self) -> list[Fault]:
        """Return the faults that are on; those that have ended are forgotten."""
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
