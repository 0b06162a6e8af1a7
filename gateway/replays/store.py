"""Replays in the database, so that every gateway can report their progress."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from ...registry.storage.database import ReplayRow, now

# The gateway that runs a replay updates it every second; without an update for this long it is interrupted.
HEARTBEAT_TIMEOUT = timedelta(seconds=30)
UNFINISHED = ("queued", "running")


class Outcome(TypedDict, total=False):
    """The columns of a replay that change with its state."""

    progress: dict[str, Any]
    report: dict[str, Any]
    error: str


class ReplayStore:
    """Writes and reads replays."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, model: str, options: dict[str, Any], actor: str) -> ReplayRow:
        """Insert a queued replay."""
        row = ReplayRow(id=f"{model}.{uuid4().hex[:12]}", model=model, asked=options, actor=actor, state="queued")
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            session.add(row)
            await session.commit()
        return row

    async def get(self, replay_id: str) -> ReplayRow | None:
        """Return a replay, or None."""
        async with AsyncSession(self._engine) as session:
            return await session.get(ReplayRow, replay_id)

    async def page(self, models: Collection[str] | None, *, page: int, per_page: int) -> tuple[list[ReplayRow], int]:
        """Return one page of these models' replays (None: all models'), newest first, and the total count."""
        query = select(ReplayRow)
        if models is not None:
            query = query.where(ReplayRow.model.in_(models))
        async with AsyncSession(self._engine) as session:
            total = await session.scalar(select(func.count()).select_from(query.subquery()))
            newest = query.order_by(ReplayRow.created_at.desc()).offset((page - 1) * per_page).limit(per_page)
            return list(await session.scalars(newest)), total or 0

    async def set_state(self, replay_id: str, state: str, **columns: Unpack[Outcome]) -> None:
        """Update a replay's state and the given columns."""
        async with self._engine.begin() as connection:
            changed = update(ReplayRow).where(ReplayRow.id == replay_id)
            await connection.execute(changed.values(state=state, updated_at=now(), **columns))

    async def touch(self, replay_ids: Collection[str]) -> None:
        """Refresh the heartbeat of queued replays."""
        async with self._engine.begin() as connection:
            await connection.execute(update(ReplayRow).where(ReplayRow.id.in_(replay_ids)).values(updated_at=now()))


def state_of(row: ReplayRow) -> str:
    """Return a replay's state; an unfinished one without a heartbeat is interrupted."""
    return "interrupted" if row.state in UNFINISHED and now() - row.updated_at > HEARTBEAT_TIMEOUT else row.state
