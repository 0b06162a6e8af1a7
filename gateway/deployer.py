"""Carry a command out: the topic first, then the command, then wait until the new release can be used."""

from __future__ import annotations

import asyncio

from ..access.caller import caller
from ..broker.kafka.topics import ensure_topics
from ..broker.views.releases import ReleasesView
from ..broker.views.replicas import ReplicaView
from ..schemas.payloads.commands import Command, Remove
from ..schemas.payloads.events import Event
from ..schemas.payloads.releases import VersionSpec
from ..schemas.settings.gateway import GatewaySettings
from .command_client import Asked, CommandClient


class Deployer:
    """Executes commands that change a release."""

    def __init__(
        self, settings: GatewaySettings, commands: CommandClient, releases: ReleasesView, replicas: ReplicaView
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._releases = releases
        self._replicas = replicas

    async def asked(self, model: str, *, actor: str = "", reason: str = "", based_on: int | None = None) -> Asked:
        """Return what every command says of its author, once the model's topic is there.

        Raises Forbidden where the caller may not touch the model.
        """
        who = caller.get()
        who.check_model(model)
        if model not in self._releases.releases:
            # Whoever hears of the release may use its topic at once.
            await ensure_topics(self._settings, [self._settings.topics().model(model)])
        return self._commands.asked(model, who, actor=actor, reason=reason, based_on=based_on)

    async def execute(self, command: Command) -> Event:
        """Return the event once a worker has each version of the release loaded, or after `load_timeout`.

        Raises what the command was refused by, or ControlPlaneUnavailable.
        """
        event = await self._commands.execute(command)
        await self._until_usable(command.model, event.generation)
        return event

    async def remove(self, model: str) -> Event:
        """End a model's release, whatever runs; return once the gateway has heard of it. Can be repeated.

        Raises ControlPlaneUnavailable, or Forbidden where the caller may not touch the model.
        """
        who = caller.get()
        who.check_model(model)
        return await self._commands.execute(Remove(**self._commands.asked(model, who)))

    def usable(self, model: str) -> bool:
        """Whether live workers have every version of the release loaded, and every router knows it."""
        release = self._releases.releases.get(model)
        return release is not None and all(self._replicas.serves(model, spec) for spec in release.versions.values())

    def why_not(self, model: str, spec: VersionSpec) -> str | None:
        """Return why a version is not in use yet, in the words of the worker that could not load it; None where it is."""
        if self._replicas.serves(model, spec):
            return None
        loads = [beat.models[model] for beat in self._replicas.live() if model in beat.models]
        for load in loads:
            if spec.version in load.failed:
                return f"not live: {load.failed[spec.version]}"
        return f"not live yet: no worker had it loaded after {self._settings.load_timeout:g} s"

    async def _until_usable(self, model: str, generation: int) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._settings.load_timeout
        while loop.time() < give_up:
            release = self._releases.releases.get(model)
            if release is not None and release.generation >= generation:
                if self.usable(model):
                    return
                loads = [beat.models[model] for beat in self._replicas.live() if model in beat.models]
                if any(version in load.failed for load in loads for version in release.versions):
                    return
            await self._replicas.changed(timeout=0.5)
