"""Replays in the database, so that every gateway can say how far each is."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from ...registry.storage.database import ReplayRow, now

# Whoever runs a replay says so every second; after so long without a word nobody does.
SILENCE = timedelta(seconds=30)
UNFINISHED = ("queued", "running")


class Outcome(TypedDict, total=False):
    """What there is to say of a replay beside its state."""

    progress: dict[str, Any]
    report: dict[str, Any]
    error: str


class ReplayStore:
    """Writes and reads replays."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, model: str, asked: dict[str, Any], actor: str) -> ReplayRow:
        """Write down what was asked for."""
        row = ReplayRow(id=f"{model}.{uuid4().hex[:12]}", model=model, asked=asked, actor=actor, state="queued")
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            session.add(row)
            await session.commit()
        return row

    async def get(self, replay_id: str) -> ReplayRow | None:
        """Return one."""
        async with AsyncSession(self._engine) as session:
            return await session.get(ReplayRow, replay_id)

    async def page(self, models: Collection[str] | None, *, page: int, per_page: int) -> tuple[list[ReplayRow], int]:
        """Return one page of these models' replays (None: of all), newest first, and how many there are."""
        query = select(ReplayRow)
        if models is not None:
            query = query.where(ReplayRow.model.in_(models))
        async with AsyncSession(self._engine) as session:
            total = await session.scalar(select(func.count()).select_from(query.subquery()))
            newest = query.order_by(ReplayRow.created_at.desc()).offset((page - 1) * per_page).limit(per_page)
            return list(await session.scalars(newest)), total or 0

    async def say(self, replay_id: str, state: str, **columns: Unpack[Outcome]) -> None:
        """Say how a replay stands; what is not given stays as it is."""
        async with self._engine.begin() as connection:
            changed = update(ReplayRow).where(ReplayRow.id == replay_id)
            await connection.execute(changed.values(state=state, updated_at=now(), **columns))

    async def touch(self, replay_ids: Collection[str]) -> None:
        """Say that these still wait for their turn."""
        async with self._engine.begin() as connection:
            await connection.execute(update(ReplayRow).where(ReplayRow.id.in_(replay_ids)).values(updated_at=now()))


def state_of(row: ReplayRow) -> str:
    """Return a replay's state; one that nobody speaks of any more was interrupted."""
    return "interrupted" if row.state in UNFINISHED and now() - row.updated_at > SILENCE else row.state
