"""Remove a model whole: its release, its topic, its versions and their files. What it did stays in the history.

Each step can be repeated, and the registry's rows go last: whatever fails on the way, the model is still there to be removed
again, and nothing that is registered meanwhile goes live on a topic that is about to be deleted.
"""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError

from ..broker.kafka.topics import delete_topic
from ..broker.views.releases import ReleasesView
from ..broker.views.replicas import ReplicaView
from ..registry.registry import Registry
from ..schemas.errors import BrokerUnavailable, ModelNotFound, Unavailable
from ..schemas.settings.gateway import GatewaySettings
from .deployer import Deployer

ROUNDS = 3


class ModelRemoval:
    """Removes models. Nobody else deletes a topic."""

    def __init__(
        self,
        settings: GatewaySettings,
        registry: Registry,
        deployer: Deployer,
        releases: ReleasesView,
        replicas: ReplicaView,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._deployer = deployer
        self._releases = releases
        self._replicas = replicas

    async def remove(self, name: str) -> dict[str, str]:
        """Remove a model; return the digest of the file of each version that it had.

        Raises ModelNotFound, ControlPlaneUnavailable, or Unavailable where a part of it could not be done yet.
        """
        if name not in self._releases.releases:
            await self._registry.model(name)  # neither registered nor released: not found
        removed: dict[str, str] = {}
        for _ in range(ROUNDS):
            await self._deployer.remove(name)
            await self._until_let_go(name)
            try:
                await delete_topic(self._settings, self._settings.topics().model(name))
            except (KafkaError, BrokerUnavailable) as error:
                raise Unavailable(
                    f"the topic of {name} could not be deleted: {error}; delete the model again"
                ) from error
            removed |= await self._registry.delete_model(name)
            if not await self._was_released_again(name):
                return removed
        raise Unavailable(f"{name} was deployed again and again while it was removed; delete it again")

    async def _until_let_go(self, name: str) -> None:
        """Return when every live router and worker has let the model go: requests in hand are answered first."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + 2 * self._settings.drain_timeout
        while name in self._releases.releases or any(name in beat.models for beat in self._replicas.live()):
            if loop.time() > give_up:
                raise Unavailable(f"workers still finish requests for {name}; delete it again in a moment")
            await self._replicas.changed(timeout=self._settings.heartbeat_interval)

    async def _was_released_again(self, name: str) -> bool:
        """Whether somebody deployed one of the versions that are gone, while they were going."""
        release = self._releases.releases.get(name)
        if release is None:
            return False
        try:
            known = {row.version for row in (await self._registry.model(name)).versions}
        except ModelNotFound:
            known = set()
        return not release.versions.keys() <= known
