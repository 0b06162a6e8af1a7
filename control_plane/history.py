"""The projection of the events into the database: the history that people ask for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from ..broker.connection import make_consumer
from ..schemas.commands import Event
from ..schemas.settings import Settings
from .database import DeploymentRow, ExperimentRow, make_engine
from .migrate import upgrade

log = structlog.get_logger(__name__)
RETRY_AFTER = 1.0


class HistoryProjection:
    """Writes each event once, by its id. While the database is away it waits; the offsets wait with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.state = "starting"

    async def run(self) -> None:
        """Project until cancelled."""
        while True:
            engine = make_engine(self._settings.database_url)
            try:
                await upgrade(self._settings.database_url)
                await self._follow(engine)
            except (SQLAlchemyError, OSError, KafkaError) as error:
                self.state = f"waiting: {error}"[:300]
                log.warning("history.waiting", error=str(error)[:300])
                await asyncio.sleep(RETRY_AFTER)
            finally:
                await engine.dispose()

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
                    await self._write(engine, records)
                    await consumer.commit()
        finally:
            await consumer.stop()

    async def _write(self, engine: AsyncEngine, records: list[ConsumerRecord]) -> None:
        async with AsyncSession(engine) as session, session.begin():
            for record in records:
                try:
                    event = Event.model_validate_json(record.value or b"")
                except ValidationError:
                    log.warning("record.malformed", topic=record.topic, offset=record.offset)
                    continue
                await session.merge(_row(event))
                await _project_experiment(session, event)


def _row(event: Event) -> DeploymentRow:
    return DeploymentRow(
        event_id=event.event_id,
        kind=event.kind,
        model=event.model,
        generation=event.generation,
        strategy=event.data.get("strategy"),
        version=event.data.get("version"),
        actor=event.actor,
        summary=event.summary,
        data=event.data,
        problem=event.problem,
        at=datetime.fromtimestamp(event.at, UTC),
    )


async def _project_experiment(session: AsyncSession, event: Event) -> None:
    at = datetime.fromtimestamp(event.at, UTC)
    if event.kind == "experiment.started":
        await session.merge(
            ExperimentRow(
                id=event.data["id"],
                name=event.data["name"],
                model=event.model,
                variants=event.data["variants"],
                status="running",
                created_at=at,
            )
        )
    elif event.kind == "experiment.stopped":
        row = await session.get(ExperimentRow, event.data["id"])
        if row is not None:
            row.status, row.ended_at, row.results = "stopped", at, event.data.get("evidence")
