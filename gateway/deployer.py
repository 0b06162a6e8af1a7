"""Carry a wish out: the topic first, then the command, then wait until the new release can be used."""

from __future__ import annotations

import asyncio
from typing import Any

from ..access.caller import caller
from ..broker.kafka.topics import ensure_topics
from ..broker.views.releases import ReleasesView
from ..broker.views.replicas import ReplicaView
from ..schemas.payloads.commands import CommandKind, Event
from ..schemas.payloads.releases import VersionSpec
from ..schemas.settings import Settings
from .command_client import CommandClient


class Deployer:
    """Executes commands that change a release."""

    def __init__(
        self, settings: Settings, commands: CommandClient, releases: ReleasesView, replicas: ReplicaView
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._releases = releases
        self._replicas = replicas

    async def execute(self, kind: CommandKind, model: str, **fields: Any) -> Event:
        """Return the event once a worker has each version of the release loaded, or after `load_timeout`.

        Raises what the command was refused by, ControlPlaneUnavailable, or Forbidden where the caller may not touch the model.
        """
        who = caller.get()
        who.check_model(model)
        fields |= {"actor": who.actor(fields.get("actor", "")), "source": who.source}
        if model not in self._releases.releases:
            # Whoever hears of the release may use its topic at once.
            await ensure_topics(self._settings, [self._settings.topics().model(model)])
        event = await self._commands.execute(self._commands.command(kind, model, **fields))
        await self._until_usable(model, event.generation)
        return event

    async def remove(self, model: str) -> Event:
        """End a model's release, whatever runs; return once the gateway has heard of it. Can be repeated.

        Raises ControlPlaneUnavailable, or Forbidden where the caller may not touch the model.
        """
        who = caller.get()
        who.check_model(model)
        command = self._commands.command("remove", model, actor=who.actor(""), source=who.source)
        return await self._commands.execute(command)

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
