"""Publish a command and await the event that answers it."""

from __future__ import annotations

import asyncio
import time

from aiokafka import ConsumerRecord
from pydantic import ValidationError

from ..broker.outbox import Outbox
from ..broker.topic_follower import TopicFollower
from ..schemas.commands import Command, Event
from ..schemas.errors import ControlPlaneUnavailable, from_problem
from ..schemas.releases import VersionSpec
from ..schemas.settings import Settings


class CommandClient:
    """For those who ask the control plane for something."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        topics = settings.topics()
        self._topic = topics.commands.name
        self._timeout = settings.command_timeout
        self._outbox = outbox
        self._waiting: dict[str, asyncio.Future[Event]] = {}
        self._follower = TopicFollower(settings, topics.events, self._on_record, from_end=True)
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the events until cancelled."""
        await self._follower.run()

    async def deploy(self, model: str, version: VersionSpec, *, based_on: int | None, actor: str, reason: str) -> Event:
        """Ask for a full deployment; return the event that came of it.

        Raises the error by which the command was refused, or ControlPlaneUnavailable when nobody answers in time; then
        it will not be carried out later either.
        """
        now = time.time()
        command = Command(
            kind="deploy",
            model=model,
            based_on=based_on,
            version=version,
            actor=actor,
            reason=reason,
            issued_at=now,
            expires_at=now + self._timeout,
        )
        return await self._execute(command)

    async def _execute(self, command: Command) -> Event:
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting[command.command_id] = future
        self._outbox.send(self._topic, command.model_dump_json().encode(), key=command.model)
        try:
            event = await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise ControlPlaneUnavailable(
                f"the control plane did not answer within {self._timeout:g} s; nothing was changed, predictions go on"
            ) from None
        finally:
            self._waiting.pop(command.command_id, None)
        if event.problem is not None:
            raise from_problem(event.problem)
        return event

    def _on_record(self, record: ConsumerRecord) -> None:
        try:
            event = Event.model_validate_json(record.value or b"")
        except ValidationError:
            return
        future = self._waiting.get(event.command_id)
        if future is not None and not future.done():
            future.set_result(event)
