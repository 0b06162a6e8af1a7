"""Projects the events into the database, as the releases' history."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from ..broker.kafka.connection import make_consumer
from ..broker.kafka.dead_letter_writer import DeadLetterWriter
from ..broker.kafka.outbox import Outbox
from ..registry.storage.database import DeploymentRow, ExperimentRow, ModelRow, VersionRow, clip_to_column
from ..registry.storage.retries import write_with_retries
from ..schemas.payloads.events import ExperimentStarted, ExperimentStopped, VersionDiffers
from ..schemas.payloads.read_events import ReadEvent, read_event
from ..schemas.settings.control import ControlSettings

log = structlog.get_logger(__name__)


class HistoryProjection:
    """Writes each event once, by its id. While the database is unavailable it waits, without committing offsets."""

    def __init__(self, settings: ControlSettings, outbox: Outbox) -> None:
        self._dead_letters = DeadLetterWriter(settings, outbox)
        self._settings = settings
        self.state = "starting"

    async def run(self) -> None:
        """Project until cancelled."""
        await write_with_retries(self._settings.database_url, "history", self._follow, self._set_state)

    def _set_state(self, state: str) -> None:
        self.state = state

    async def _follow(self, engine: AsyncEngine) -> None:
        topic = self._settings.topics().events.name
        consumer = make_consumer(self._settings, topic, group=f"{self._settings.prefix}.history")
        await consumer.start()
        self.state = "following"
        try:
            while True:
                batches = await consumer.getmany(timeout_ms=1000)
                records = [record for batch in batches.values() for record in batch]
                if records:
                    await self._write_or_split(engine, records)
                    await consumer.commit()
        finally:
            await consumer.stop()

    async def _write_or_split(self, engine: AsyncEngine, records: list[ConsumerRecord]) -> None:
        """Write events in one transaction. If the database refuses the data of one, write each on its own.

        Otherwise that event would block all later ones.
        """
        try:
            await self._write(engine, records)
        except (OperationalError, InterfaceError, OSError):
            raise  # the database is unavailable: all are retried
        except (SQLAlchemyError, ValueError, OverflowError, TypeError):
            if len(records) > 1:
                for record in records:
                    await self._write_or_split(engine, [record])
                return
            [record] = records
            where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.exception("record.unwritable", **where)
            self._dead_letters.put(record, "the database refuses the data of this event")

    async def _write(self, engine: AsyncEngine, records: list[ConsumerRecord]) -> None:
        async with AsyncSession(engine) as session, session.begin():
            for record in records:
                try:
                    event = read_event(record.value or b"")
                    row = _row(event)
                    await _project_experiment(session, event)
                    await _project_difference(session, event)
                except (ValidationError, KeyError, ValueError, OverflowError) as error:
                    # Not an event, or one with invalid data.
                    log.warning("record.malformed", topic=record.topic, offset=record.offset, error=str(error)[:200])
                    self._dead_letters.put(record, f"not an event: {type(error).__name__}: {error}")
                    continue
                await session.merge(row)


def _row(event: ReadEvent) -> DeploymentRow:
    data = event.data.model_dump(mode="json")
    return DeploymentRow(
        event_id=clip_to_column(DeploymentRow.event_id, event.event_id),
        kind=event.kind,
        model=clip_to_column(DeploymentRow.model, event.model),
        generation=event.generation,
        strategy=data.get("strategy"),
        version=data.get("version"),
        actor=clip_to_column(DeploymentRow.actor, event.actor),
        summary=clip_to_column(DeploymentRow.summary, event.summary),
        data=data,
        problem=event.problem,
        at=datetime.fromtimestamp(event.at, UTC),
    )


async def _project_difference(session: AsyncSession, event: ReadEvent) -> None:
    """Mark a wrong compiled form in the registry, so that later deployments do not use it."""
    if not isinstance(event, VersionDiffers):
        return
    named = (ModelRow.name == event.model, VersionRow.artifact_digest == event.data.digest)
    query = select(VersionRow).join(ModelRow).where(*named, VersionRow.version == event.data.version)
    row = await session.scalar(query)
    if row is not None:
        row.parity = row.parity | {"differs": event.data.reason or event.summary}


async def _project_experiment(session: AsyncSession, event: ReadEvent) -> None:
    at = datetime.fromtimestamp(event.at, UTC)
    if isinstance(event, ExperimentStarted):
        await session.merge(
            ExperimentRow(
                id=str(event.data.id),
                name=event.data.name,
                model=event.model,
                variants=[variant.model_dump(mode="json") for variant in event.data.variants],
                status="running",
                created_at=at,
            )
        )
    elif isinstance(event, ExperimentStopped):
        row = await session.get(ExperimentRow, str(event.data.id))
        if row is not None:
            row.status, row.ended_at, row.results = "stopped", at, event.data.evidence or None
