"""Switches injected faults on and off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from types import TracebackType

from ..broker.kafka.connection import make_producer, start_producer
from ..broker.kafka.outbox import Outbox
from ..broker.views.faults import FaultsView
from ..broker.views.replicas import ReplicaView
from ..runtime.event_publisher import EventPublisher
from ..runtime.lifecycle import Lifecycle
from ..schemas.errors import NotFound, Unavailable
from ..schemas.payloads.chaos import Fault
from ..schemas.payloads.event_data import FaultStartedData, FaultStoppedData
from ..schemas.payloads.events import ChaosStarted, ChaosStopped
from ..schemas.settings.mesh import MeshSettings

HEARTBEAT_WAIT = 3.0


class FaultInjector:
    """Writes faults to Kafka, where all roles with chaos enabled read them. Use as an async context manager."""

    def __init__(self, settings: MeshSettings) -> None:
        self._settings = settings
        self._topic = settings.topics().chaos
        self._view = FaultsView(settings)

    async def __aenter__(self) -> FaultInjector:
        producer = self._producer = make_producer(self._settings)
        self._outbox = Outbox(producer)
        self._events = EventPublisher(self._settings, self._outbox)
        self._parts = Lifecycle(asyncio.Event())
        try:
            await self._parts.start("producer", start_producer(producer, self._settings), producer.stop)
            self._parts.run("faults", self._view.run())
            await self._parts.wait(self._view.ready.wait())
        except BaseException as error:
            await self._parts.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._parts.__aexit__(kind, error, trace)

    def active(self) -> list[Fault]:
        """Return the active faults."""
        return self._view.active()

    async def start(self, fault: Fault) -> None:
        """Switch a fault on. Raises Unavailable if no live replica has chaos enabled."""
        if not await self._has_listeners():
            raise Unavailable("no running router or worker has chaos switched on: start them with MODELMESH_CHAOS=true")
        await self._producer.send_and_wait(
            self._topic.name, fault.model_dump_json().encode(), key=fault.fault_id.encode()
        )
        self._view.faults[fault.fault_id] = fault
        shown = fault.model_dump(exclude_defaults=True)
        self._events.publish(
            ChaosStarted,
            FaultStartedData(fault=shown),
            model=fault.model,
            summary=f"the fault {fault.kind} was switched on",
        )
        await self._outbox.flushed()

    async def stop(self, fault_id: str) -> None:
        """Switch a fault off. Raises NotFound."""
        fault = self._view.faults.pop(fault_id, None)
        if fault is None:
            raise NotFound(f"there is no fault {fault_id}: `modelmesh chaos list` shows those that are on")
        await self._producer.send_and_wait(self._topic.name, None, key=fault_id.encode())
        self._events.publish(
            ChaosStopped,
            FaultStoppedData(fault_id=fault_id),
            model=fault.model,
            summary=f"the fault {fault.kind} was switched off",
        )
        await self._outbox.flushed()

    @contextlib.asynccontextmanager
    async def on(self, fault: Fault) -> AsyncIterator[Fault]:
        """Keep a fault on during the block, or until it expires."""
        await self.start(fault)
        try:
            yield fault
        finally:
            await self.stop(fault.fault_id)

    async def _has_listeners(self) -> bool:
        view = ReplicaView(self._settings)
        following = asyncio.create_task(view.run())
        try:
            deadline = time.monotonic() + HEARTBEAT_WAIT
            while time.monotonic() < deadline:
                if any(beat.chaos for beat in view.live()):
                    return True
                await view.changed(timeout=0.2)
            return False
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
