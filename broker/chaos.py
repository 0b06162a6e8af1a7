"""Faults on purpose, for rehearsals: only where MODELMESH_CHAOS is switched on."""

from __future__ import annotations

import asyncio
import random
import time

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from ..schemas.chaos import Fault, FaultKind
from ..schemas.settings import Settings
from .topic_follower import TopicFollower

log = structlog.get_logger(__name__)


class Chaos:
    """The faults that are on now; `find` says whether one of them hits."""

    def __init__(self, settings: Settings) -> None:
        self._replica = settings.name
        self._faults: dict[str, Fault] = {}
        self._follower = TopicFollower(settings, settings.topics().chaos, self._on_record) if settings.chaos else None

    async def run(self) -> None:
        """Follow the faults until cancelled; where chaos is switched off there is nothing to follow."""
        if self._follower is not None:
            await self._follower.run()
        await asyncio.Event().wait()

    def find(self, kind: FaultKind, **where: str) -> Fault | None:
        """Return the fault of this kind that hits here and now, if one does."""
        if not self._faults:
            return None
        now = time.time()
        self._faults = {fault_id: fault for fault_id, fault in self._faults.items() if fault.until > now}
        for fault in self._faults.values():
            if fault.kind == kind and fault.hits(self._replica, now, **where) and random.random() < fault.share:
                return fault
        return None

    def _on_record(self, record: ConsumerRecord) -> None:
        key = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._faults.pop(key, None)
            return
        try:
            fault = Fault.model_validate_json(record.value)
        except ValidationError:
            return
        if fault.until > time.time():
            log.warning("chaos.on", fault=fault.model_dump(exclude_defaults=True))
            self._faults[key] = fault
