"""The replicas of all roles, known by their heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from aiokafka import ConsumerRecord

from ...schemas.payloads.releases import VersionSpec
from ...schemas.payloads.replicas import Heartbeat
from ...schemas.settings.mesh import MeshSettings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.topic_follower import TopicFollower


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
        self._beats: dict[str, tuple[float, Heartbeat]] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # From the end: a heartbeat from before this start does not show that a replica is alive.
        self._follower = TopicFollower(
            settings, settings.topics().replicas, self._on_record, from_end=True, dead_letters=dead_letters
        )

    async def run(self) -> None:
        """Follow the heartbeats until cancelled."""
        await self._follower.run()

    def live(self) -> Iterator[Heartbeat]:
        """Iterate over the replicas whose last heartbeat is within the timeout and that are not leaving."""
        return self._heard_since(self._loop.time() - self._timeout)

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

    async def changed(self, timeout: float) -> None:
        """Return at the next heartbeat, or after the timeout."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)

    def _on_record(self, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        beat = Heartbeat.model_validate_json(record.value)
        self._beats[beat.replica] = (self._loop.time(), beat)
        if self._on_beat is not None:
            self._on_beat(beat)
        self._changed.set()
        self._changed.clear()
