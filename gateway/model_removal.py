"""Delete a model: its release, topic, versions and their files. Its events stay in the history.

Each step can be repeated, and the registry's rows are deleted last. So after a failure the model can be deleted again, and a
version that is registered meanwhile does not go live on a topic that is about to be deleted.
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

MAX_ROUNDS = 3


class ModelRemoval:
    """Deletes models. Only this class deletes topics."""

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
        """Delete a model; return the file digest of each deleted version.

        Raises ModelNotFound, ControlPlaneUnavailable, or Unavailable if a step could not be completed.
        """
        if name not in self._releases.releases:
            await self._registry.model(name)  # neither registered nor released: not found
        removed: dict[str, str] = {}
        for _ in range(MAX_ROUNDS):
            await self._deployer.remove(name)
            await self._wait_until_unloaded(name)
            try:
                await delete_topic(self._settings, self._settings.topics().model(name))
            except (KafkaError, BrokerUnavailable) as error:
                raise Unavailable(
                    f"the topic of {name} could not be deleted: {error}; delete the model again"
                ) from error
            removed |= await self._registry.delete_model(name)
            if not await self._was_released_again(name):
                return removed
        raise Unavailable(f"{name} was deployed again each time it was deleted; delete it again")

    async def _wait_until_unloaded(self, name: str) -> None:
        """Wait until every live router and worker has unloaded the model; they answer their requests first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 2 * self._settings.drain_timeout
        while name in self._releases.releases or any(name in beat.models for beat in self._replicas.live()):
            if loop.time() > deadline:
                raise Unavailable(f"workers still process requests for {name}; delete it again later")
            await self._replicas.changed(timeout=self._settings.heartbeat_interval)

    async def _was_released_again(self, name: str) -> bool:
        """Whether a deleted version was deployed during the deletion."""
        release = self._releases.releases.get(name)
        if release is None:
            return False
        try:
            known = {row.version for row in (await self._registry.model(name)).versions}
        except ModelNotFound:
            known = set()
        return not release.versions.keys() <= known
