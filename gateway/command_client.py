"""Publish commands, wait for the events that answer them, and pass all events on to listeners."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from functools import partial
from hashlib import blake2b
from typing import TypedDict

from aiokafka import ConsumerRecord

from ..access.caller import Caller, caller
from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.outbox import Outbox
from ..broker.kafka.send_errors import answer_for, is_permanent
from ..broker.kafka.topic_follower import TopicFollower
from ..schemas.errors import ControlPlaneUnavailable, from_problem
from ..schemas.payloads.commands import Command
from ..schemas.payloads.read_events import ReadEvent, read_event
from ..schemas.settings.gateway import GatewaySettings
from .idempotency_key import idempotency_key
from .recent_events import RecentEvents

LISTENER_BACKLOG = 1000
# A starting gateway reads the events of so many seconds: the history in the database may not have them yet.
RECENT_SECONDS = 60.0


class CommandFields(TypedDict):
    """The fields of every command: its model, author, reason and times (seconds since the epoch)."""

    model: str
    based_on: int | None
    actor: str
    source: str
    reason: str
    issued_at: float
    expires_at: float


class CommandClient:
    """Sends commands to the control plane."""

    def __init__(self, settings: GatewaySettings, outbox: Outbox) -> None:
        topics = settings.topics()
        self._topic = topics.commands.name
        self._timeout = settings.command_timeout
        self._outbox = outbox
        self._waiting: dict[str, asyncio.Future[ReadEvent]] = {}  # by command id
        self._repeated: dict[str, asyncio.Future[ReadEvent]] = {}  # by repeat key
        self._listeners: set[asyncio.Queue[ReadEvent]] = set()
        self.recent = RecentEvents()
        self._follower = TopicFollower(
            settings,
            topics.events,
            self._on_record,
            from_end=True,
            recent=RECENT_SECONDS,
            dead_letters=DeadLetterWriter(settings, outbox),
        )
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the events until cancelled."""
        await self._follower.run()

    def command_fields(
        self, model: str, who: Caller, *, actor: str = "", reason: str = "", based_on: int | None = None
    ) -> CommandFields:
        """Return the fields of a command that is issued now and expires when its author stops waiting."""
        now = time.time()
        return {
            "model": model,
            "based_on": based_on,
            "actor": who.actor(actor),
            "source": who.source,
            "reason": reason,
            "issued_at": now,
            "expires_at": now + self._timeout,
        }

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Queue[ReadEvent]]:
        """Yield a queue that gets every event from now on; a listener that is too slow loses the oldest ones."""
        queue: asyncio.Queue[ReadEvent] = asyncio.Queue(LISTENER_BACKLOG)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def execute(self, command: Command) -> ReadEvent:
        """Send a command; return the event that answers it.

        Raises the error with which the command was refused, RequestTooLarge if it is too large for the log, or
        ControlPlaneUnavailable after the timeout. A command that timed out is not executed later, but may have been executed
        without an answer. Repeated with the same Idempotency-Key and body, it gets the answer of the first if that took effect.
        """
        if key := idempotency_key.get():
            command = command.model_copy(update={"repeat_key": _repeat_key(key, caller.get(), command)})
        future: asyncio.Future[ReadEvent] = asyncio.get_running_loop().create_future()
        self._waiting[command.command_id] = future
        if command.repeat_key:
            self._repeated[command.repeat_key] = future
        self._outbox.send(
            self._topic, command.model_dump_json().encode(), key=command.model, acknowledged=partial(_refused, future)
        )
        try:
            event = await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise ControlPlaneUnavailable(
                f"the control plane did not answer within {self._timeout:g} s: whether the command took effect is not known. "
                f"Look at the release of {command.model}, or repeat the request with the same Idempotency-Key; "
                "predictions go on"
            ) from None
        finally:
            self._waiting.pop(command.command_id, None)
            self._repeated.pop(command.repeat_key, None)
        if event.problem is not None:
            raise from_problem(event.problem)
        return event

    def _on_record(self, record: ConsumerRecord) -> None:
        event = read_event(record.value or b"")
        self.recent.add(event, len(record.value or b""))
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)
        future = self._waiting.get(event.command_id)
        if future is None and event.problem is None:  # the answer of an earlier attempt that took effect
            future = self._repeated.get(event.repeat_key)
        if future is not None and not future.done():
            future.set_result(event)


def _repeat_key(key: str, who: Caller, command: Command) -> str:
    """Return what all repetitions of a command have in common; keys of different callers are different."""
    parts = "\n".join((who.key, key, command.kind, command.model))
    return blake2b(parts.encode(), digest_size=16).hexdigest()


def _refused(waiting: asyncio.Future[ReadEvent], sent: asyncio.Future[object]) -> None:
    """Fail the waiting future of a command that Kafka refused permanently."""
    error = None if sent.cancelled() else sent.exception()
    if error is not None and is_permanent(error) and not waiting.done():
        waiting.set_exception(answer_for(error, "the command"))
