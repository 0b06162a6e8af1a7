"""Execute a command: create the model's topic, send the command, and wait until the new release is ready."""

from __future__ import annotations

import asyncio

from ..access.caller import caller
from ..broker.kafka.topics import ensure_topics
from ..broker.views.releases import ReleasesView
from ..broker.views.replicas import ReplicaView
from ..schemas.payloads.commands import Command, Remove
from ..schemas.payloads.read_events import ReadEvent
from ..schemas.payloads.releases import VersionSpec
from ..schemas.settings.gateway import GatewaySettings
from .command_client import CommandClient, CommandFields


class Deployer:
    """Executes commands that change a release."""

    def __init__(
        self, settings: GatewaySettings, commands: CommandClient, releases: ReleasesView, replicas: ReplicaView
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._releases = releases
        self._replicas = replicas

    async def command_fields(
        self, model: str, *, actor: str = "", reason: str = "", based_on: int | None = None
    ) -> CommandFields:
        """Create the model's topic if needed; return the fields of a command by the caller.

        Raises Forbidden if the caller may not change the model.
        """
        who = caller.get()
        who.check_model(model)
        if model not in self._releases.releases:
            # Before the command: routers and workers use the topic as soon as they see the release.
            await ensure_topics(self._settings, [self._settings.topics().model(model)])
        return self._commands.command_fields(model, who, actor=actor, reason=reason, based_on=based_on)

    async def execute(self, command: Command, *, ready: bool = True) -> ReadEvent:
        """Return the event once workers have loaded each version of the release, one failed to load, or after `load_timeout`.

        Without `ready`, once this gateway has the release, whatever workers have loaded.

        Raises the error with which the command was refused, or ControlPlaneUnavailable.
        """
        event = await self._commands.execute(command)
        await self._until_usable(command.model, event.generation, ready=ready)
        return event

    async def remove(self, model: str) -> ReadEvent:
        """Remove a model's release, whatever its strategy; return the event that answers it. Can be repeated.

        Raises ControlPlaneUnavailable, or Forbidden if the caller may not change the model.
        """
        who = caller.get()
        who.check_model(model)
        return await self._commands.execute(Remove(**self._commands.command_fields(model, who)))

    def usable(self, model: str) -> bool:
        """Whether live workers have loaded every version of the release, and every router knows it."""
        release = self._releases.releases.get(model)
        return release is not None and all(self._replicas.serves(model, spec) for spec in release.versions.values())

    def not_ready_reason(self, model: str, spec: VersionSpec) -> str | None:
        """Return why a version is not ready, with the load error of a worker if there is one; None if it is ready."""
        if self._replicas.serves(model, spec):
            return None
        loads = [beat.models[model] for beat in self._replicas.live() if model in beat.models]
        for load in loads:
            if spec.version in load.failed:
                return f"not live: {load.failed[spec.version]}"
        return f"not live yet: no worker had loaded it after {self._settings.load_timeout:g} s"

    async def _until_usable(self, model: str, generation: int, *, ready: bool) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.load_timeout
        while loop.time() < deadline:
            release = self._releases.releases.get(model)
            if release is not None and release.generation >= generation:
                if not ready or self.usable(model):
                    return
                loads = [beat.models[model] for beat in self._replicas.live() if model in beat.models]
                if any(version in load.failed for load in loads for version in release.versions):
                    return
            await self._replicas.changed(timeout=0.5)
