"""The Faust app: holds each model's release, judges it by the workers' summaries, and is the only writer of `deployments`."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, TypeVar

import faust
import orjson
import structlog
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from pydantic import ValidationError

from ...broker.kafka.dead_letter_writer import headers_of, letter_of
from ...broker.kafka.security import security_options
from ...broker.kafka.tolerant_records import read_tolerantly
from ...schemas.payloads.commands import CommandBase, ReadCommand, ServeOriginal, read_command
from ...schemas.payloads.label_reports import LABELLED, LabelReport
from ...schemas.payloads.observations import DIFFERENCE, Difference, Summary
from ...schemas.payloads.releases import Release
from ...schemas.records import ANSWER
from ...schemas.settings.control import ControlSettings
from ...schemas.topics import CONTROL_TABLES
from ..judge.judge import Judge
from .bounded_table import BoundedTable
from .machine import refusal, step, unreadable_state
from .state import ReleaseState
from .table_recovery import PausedRecoveryTables
from .written import read_written, taken_over

log = structlog.get_logger(__name__)
PUBLISH_INTERVAL = 0.5
# The kinds of statistics of a model, including the recorder's.
STATISTICS = ("release", "drift", "latency", "shadow", "accuracy")
# Longer than PUBLISH_INTERVAL, since merging an hour of sketches takes time.
LATENCY_INTERVAL = 5.0
# Seconds after which this app's own command expires; long, in case the app is down for some time.
CORRECTION_EXPIRY = 86400.0

Read = TypeVar("Read")


class ReleasesApp:
    """Two agents over the same keys: one applies commands, the other merges summaries and issues commands of its own.

    Changelogs and offsets are not committed atomically, so a record may be processed twice after a crash: commands get the same
    answer, and tables store which summaries they contain. A release counts as soon as it is on `deployments` (see `written`).
    """

    def __init__(self, settings: ControlSettings) -> None:
        self._topics = topics = settings.topics()
        self.app = _make_app(settings)
        self._max_letter_bytes = settings.max_body_bytes
        self.dead_letter_count = 0
        self._commands = self._topic(topics.commands.name)
        self._observations = self._topic(topics.observations.name)
        self._deployments = self._topic(topics.deployments.name)
        self._events = self._topic(topics.events.name)
        self._statistics = self._topic(topics.statistics.name)
        self._dead_letters = self._topic(topics.dead_letters.name)
        # JSON text, so that any Kafka tool can read the changelogs.
        tables = [
            self.app.Table(name, key_type=str, value_type=str, partitions=topics.commands.partitions)
            for name in CONTROL_TABLES
        ]
        self._releases, *judged = (BoundedTable(table) for table in tables)
        self._judge = Judge(settings, *judged)
        self._changed: set[str] = set()
        self._latency_due: dict[str, float] = {}
        self._parsed: dict[str, tuple[str, ReleaseState]] = {}
        self._written = partial(read_written, settings)
        self._ahead: dict[str, ReleaseState] = {}  # of the models whose table is behind `deployments`
        self._partitions: frozenset[int] = frozenset()  # of the commands
        self._must_read, self._reading = True, asyncio.Lock()
        # Records are used one at a time, first come, first served. Otherwise a command would wait for another summary at each
        # of its awaits, and with a backlog of summaries there always is another.
        self._turn = asyncio.Lock()
        self.app.on_partitions_assigned.connect(self._assigned)
        self.app.agent(self._commands, name="carry_out")(self._run_commands)
        self.app.agent(self._observations, name="observe")(self._observe)
        self.app.timer(PUBLISH_INTERVAL)(self._publish)

    def _topic(self, name: str) -> Any:
        return self.app.topic(name, key_type=bytes, value_type=bytes, value_serializer="raw")

    async def _run_commands(self, stream: Any) -> None:
        async for record in stream.events():
            await self._process("command", read_command, record.message, self._execute)

    async def _execute(self, command: ReadCommand) -> None:
        try:
            state = self._state(command.model)
        except ValidationError as error:
            refused = refusal(command, unreadable_state(command.model, error), 0, time.time())
            await (await self._events.send(key=command.model.encode(), value=refused.model_dump_json().encode()))
            return
        after, event = step(state, self._judge.closing(command, state.release), time.time())
        key, answer = command.model.encode(), event.model_dump_json().encode()
        try:
            # This record decides whether the command has taken effect; see `written`.
            if after.release != state.release:
                value = after.release.model_dump_json().encode() if after.release is not None else None
                await (await self._deployments.send(key=key, value=value, headers={ANSWER: answer}))
            if after.release is None and event.kind == "release.removed":
                await self._forget(command.model)
            await (await self._events.send(key=key, value=answer))
        except Exception:
            self._must_read = True  # what has been written is not known
            raise
        self._releases[command.model] = after.model_dump_json()
        self._ahead.pop(command.model, None)
        self._changed.add(command.model)
        log.info("command.answered", model=command.model, kind=event.kind, generation=event.generation)

    async def _observe(self, stream: Any) -> None:
        async for record in stream.events():
            headers = headers_of(record.message)
            if DIFFERENCE in headers:
                await self._process("difference", Difference.model_validate_json, record.message, self._correct)
            elif LABELLED in headers:
                await self._process("label report", LabelReport.model_validate_json, record.message, self._merge)
            else:
                await self._process("summary", Summary.model_validate_json, record.message, self._merge)

    async def _correct(self, seen: Difference) -> None:
        """Issue a command to serve the version by its original model."""
        release = self._state(seen.model).release
        version = release.versions.get(seen.version) if release is not None else None
        if version is None or version.digest != seen.digest:
            return  # that compiled form is no longer served
        now = time.time()
        command = ServeOriginal(
            model=seen.model,
            version=version,
            actor=seen.worker,
            reason=seen.how,
            issued_at=now,
            expires_at=now + CORRECTION_EXPIRY,
        )
        await (await self._commands.send(key=seen.model.encode(), value=command.model_dump_json().encode()))

    async def _merge(self, seen: Summary | LabelReport) -> None:
        release = self._state(seen.model).release
        if release is None:
            return
        for news in self._judge.take_in(seen, release, time.time()):
            topic = self._commands if isinstance(news, CommandBase) else self._events
            await (await topic.send(key=seen.model.encode(), value=news.model_dump_json().encode()))
            log.info("judge.spoke", model=seen.model, kind=news.kind)
        self._changed.add(seen.model)

    async def _forget(self, model: str) -> None:
        """Delete all else that is stored of a removed model. Idempotent."""
        self._judge.forget(model)
        self._parsed.pop(model, None)
        self._latency_due.pop(model, None)
        for what in STATISTICS:
            await self._statistics.send(key=f"{model}|{what}".encode(), value=None)

    async def _publish(self) -> None:
        """Publish the statistics of the models that changed."""
        changed, self._changed = self._changed, set()
        now = time.time()
        for model in changed:
            self._latency_due.setdefault(model, now)
            if (release := self._state(model).release) is not None:
                await self._send_statistic(release, "release", self._judge.release_document(release, now))
                await self._send_statistic(
                    release, "drift", {"at": now, "versions": self._judge.drift_document(release)}
                )
        for model in [model for model, due in self._latency_due.items() if due <= now]:
            # Once more after the last change, so that the final figures are complete.
            if model in changed:
                self._latency_due[model] = now + LATENCY_INTERVAL
            else:
                del self._latency_due[model]
            if (release := self._state(model).release) is not None:
                versions = self._judge.latency_document(release, now)
                await self._send_statistic(release, "latency", {"at": now, "versions": versions})

    async def _send_statistic(self, release: Release, what: str, document: Any) -> None:
        await self._statistics.send(key=f"{release.model}|{what}".encode(), value=orjson.dumps(document))

    def _table_state(self, model: str) -> ReleaseState:
        held = self._releases.get(model)
        if not held:
            return ReleaseState()
        read, state = self._parsed.get(model, ("", None))
        if state is None or read != held:  # many summaries arrive between two commands
            state = ReleaseState.model_validate_json(held)
            self._parsed[model] = (held, state)
        return state

    def _state(self, model: str) -> ReleaseState:
        """Return a model's state: the table's or, where the table is behind, that on `deployments`."""
        return self._ahead.get(model) or self._table_state(model)

    def _assigned(self, _: object, assigned: Collection[Any], **__: Any) -> None:
        topic = self._topics.commands.name
        self._partitions = frozenset(one.partition for one in assigned if one.topic == topic)
        self._must_read = True

    def _is_mine(self, model: str) -> bool:
        """Whether this control plane has the model's key; by the producers' partitioner."""
        partitions = list(range(self._topics.commands.partitions))
        return DefaultPartitioner()(model.encode(), partitions, partitions) in self._partitions

    async def _read_written(self) -> None:
        """After keys were assigned, or a write failed: read what is on `deployments` before anything else is done."""
        async with self._reading:
            while self._must_read:
                self._must_read = False
                try:
                    written = await self._written()
                except KafkaError as error:
                    self._must_read = True
                    log.warning("deployments.waiting", error=str(error)[:300])
                    await asyncio.sleep(1.0)
                    continue
                self._ahead = taken_over(written, self._table_state, self._is_mine)

    async def _process(
        self, what: str, read: Callable[[bytes], Read], message: Any, use: Callable[[Read], Awaitable[None]]
    ) -> None:
        """Parse and use a record. If either fails, it goes to the dead letters.

        An exception would end the agent, and the same record would end it again after a restart.
        """
        if self._must_read:
            await self._read_written()
        try:
            async with self._turn:
                await use(read(message.value or b""))
        except ValidationError as error:
            problem = error.errors()[0]
            reason = f"not a {what}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            await self._dead_letter(message, reason)
        except Exception as error:
            log.exception("record.unhandled", topic=message.topic, partition=message.partition, offset=message.offset)
            await self._dead_letter(message, f"{type(error).__name__}: {error}", traceback.format_exc())

    async def _dead_letter(self, message: Any, reason: str, stack: str = "") -> None:
        self.dead_letter_count += 1
        key, value, headers = letter_of(message, reason, stack, max_bytes=self._max_letter_bytes)
        await self._dead_letters.send(key=key.encode(), value=value, headers=headers)


def _make_app(settings: ControlSettings) -> Any:
    read_tolerantly(4 * settings.max_record_bytes)
    return faust.App(
        f"{settings.prefix}-control",
        broker=f"kafka://{settings.kafka.replace(',', ';kafka://')}",
        broker_credentials=_credentials(settings),
        store="memory://",
        TableManager=PausedRecoveryTables,
        datadir=str(settings.data / "faust"),
        topic_disable_leader=True,
        # The changelogs are created with the other topics. Faust itself would create them while it joins its group; if
        # the broker is late, an agent then fails until the next metadata refresh, five minutes later.
        topic_allow_declare=False,
        topic_replication_factor=settings.replication,
        web_enabled=False,
        producer_linger_ms=0,
        producer_max_request_size=settings.max_record_bytes,
        stream_wait_empty=False,
        # Static membership: several control planes share the keys, and a restarted one gets its partitions back at once.
        consumer_group_instance_id=settings.instance or f"{settings.prefix}-control-0",
        broker_commit_interval=0.5,
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.session_timeout / 5,
        producer_acks=-1,
    )


def _credentials(settings: ControlSettings) -> Any:
    """Return the result of `security_options` as Faust's credentials."""
    options = security_options(settings)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
