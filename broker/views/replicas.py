"""The replicas of all roles, known by their heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from aiokafka import ConsumerRecord

from ...schemas.payloads.releases import VersionSpec
from ...schemas.payloads.replicas import Heartbeat
from ...schemas.settings.mesh import MeshSettings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.topic_follower import TopicFollower

# Seconds by which a heartbeat may be late at least, whatever the settings say.
MIN_GRACE = 0.2


class ReplicaView:
    """A table of replicas by name, with the time of each one's last heartbeat."""

    def __init__(
        self,
        settings: MeshSettings,
        on_beat: Callable[[Heartbeat], None] | None = None,
        dead_letters: DeadLetterWriter | None = None,
    ) -> None:
        self._on_beat = on_beat
        self._timeout = settings.replica_timeout
        # How long after its time a heartbeat is overdue.
        self._grace = max(MIN_GRACE, settings.replica_timeout - settings.heartbeat_interval)
        self._expected: dict[str, float] = {}  # by when an idle replica must have answered a request with a heartbeat
        self._beats: dict[str, tuple[float, Heartbeat]] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # Older heartbeats do not show that a replica is alive.
        self._follower = TopicFollower(
            settings,
            settings.topics().replicas,
            self._on_record,
            from_end=True,
            recent=max(settings.idle_heartbeat_interval, settings.heartbeat_interval) + settings.replica_timeout,
            dead_letters=dead_letters,
        )
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the heartbeats until cancelled."""
        await self._follower.run()

    def live(self) -> Iterator[Heartbeat]:
        """Iterate over the replicas that are not leaving, and whose next heartbeat is not overdue."""
        now = self._loop.time()
        for heard, beat in self._beats.values():
            if now <= self._due(heard, beat) and not beat.leaving:
                yield beat

    def _due(self, heard: float, beat: Heartbeat) -> float:
        """Return when the next heartbeat is overdue; idle replicas send them at longer intervals."""
        due = heard + max(self._timeout, beat.interval + self._grace)
        return min(due, self._expected.get(beat.replica, due))

    def expect(self, replica: str) -> None:
        """Note that a request was sent to a replica. An idle one must send a heartbeat within the timeout, or counts as dead."""
        known = self._beats.get(replica)
        if known is not None and known[1].idle and replica not in self._expected:
            self._expected[replica] = self._loop.time() + self._timeout
            self.wake()

    def expect_router(self, partition: int) -> None:
        """Note that a request was sent to the router of this partition of the requests."""
        # After a rebalance two may say that they hold it: the last one is right.
        holders = [
            (heard, beat.replica)
            for heard, beat in self._beats.values()
            if beat.role == "router" and partition in beat.partitions
        ]
        if holders:
            self.expect(max(holders)[1])

    def recent(self, within: float) -> Iterator[Heartbeat]:
        """Iterate over replicas whose last heartbeat is within `within` seconds of the newest heartbeat of any replica.

        Without a broker no heartbeats arrive at all, and no replica is taken for dead because of that.
        """
        return self._heard_since(max((heard for heard, _ in self._beats.values()), default=0.0) - within)

    def _heard_since(self, oldest: float) -> Iterator[Heartbeat]:
        for heard, beat in self._beats.values():
            if heard >= oldest and not beat.leaving:
                yield beat

    def serves(self, model: str, spec: VersionSpec) -> bool:
        """Whether a live worker has loaded this version (number and identity), and every live router knows it."""
        live = list(self.live())
        loaded = [
            beat.role for beat in live if model in beat.models and beat.models[model].has(spec.version, spec.identity)
        ]
        routers = sum(beat.role == "router" for beat in live)
        return "worker" in loaded and 0 < routers == loaded.count("router")

    async def changed(self, timeout: float | None = None) -> None:
        """Return at the next heartbeat, when one is overdue, or after the timeout."""
        now = self._loop.time()
        overdue = min(
            (due for due in (self._due(*known) for known in self._beats.values()) if due >= now), default=None
        )
        waits = [wait for wait in (timeout, None if overdue is None else overdue - now + 0.001) if wait is not None]
        # Not wait_for: before Python 3.12 it waits in a task of its own, which begins too late for a change of this moment.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._changed.wait()

    def _on_record(self, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        beat = Heartbeat.model_validate_json(record.value)
        # Heartbeats from before this start may be old. Later ones are new, whatever the sender's clock says.
        age = 0.0 if self.ready.is_set() else max(0.0, time.time() - record.timestamp / 1000)
        self._beats[beat.replica] = (self._loop.time() - age, beat)
        self._expected.pop(beat.replica, None)
        if self._on_beat is not None:
            self._on_beat(beat)
        self.wake()

    def wake(self) -> None:
        """Make `changed` return."""
        self._changed.set()
        self._changed.clear()
