"""Replays that were asked for over HTTP, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeAlias, Unpack

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ...registry.storage.database import ReplayRow
from ...schemas.errors import ModelMeshError, Overloaded
from .store import Outcome, ReplayStore

log = structlog.get_logger(__name__)
MAX_WAITING = 16
RETRY_AFTER = 1.0
# Runs what was asked for; yields how far it is, and in the end the report's document.
Run: TypeAlias = Callable[[Mapping[str, Any]], AsyncGenerator[dict[str, Any], None]]


class ReplayQueue:
    """Runs what is added; while the database is away it goes on, and says so once the database is back."""

    def __init__(self, store: ReplayStore, run: Run) -> None:
        self._store = store
        self._run = run
        self._waiting: deque[ReplayRow] = deque()
        self._something = asyncio.Event()

    async def add(self, model: str, asked: dict[str, Any], actor: str) -> ReplayRow:
        """Put a replay behind those that wait. Raises Overloaded where too many do."""
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded(f"{len(self._waiting)} replays wait already, as many as may be", retry_after=60.0)
        row = await self._store.add(model, asked, actor)
        self._waiting.append(row)
        self._something.set()
        return row

    async def run(self) -> None:
        """Run replays until cancelled; those that are not done then are marked as interrupted."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                row = self._waiting.popleft()
                try:
                    await self._one(row)
                except asyncio.CancelledError:
                    for unfinished in (row, *self._waiting):
                        with suppress(SQLAlchemyError, OSError):
                            await self._store.say(unfinished.id, "interrupted")
                    raise

    async def _one(self, row: ReplayRow) -> None:
        said: dict[str, Any] = {}
        try:
            async with aclosing(self._run(row.asked)) as steps:
                async for said in steps:
                    if "report" not in said:
                        await self._still_there(row, said)
        except ModelMeshError as error:
            await self._finally(row, "failed", error=error.detail)
        except Exception as error:  # whatever one replay does, the gateway goes on
            log.exception("replay.failed", replay=row.id)
            await self._finally(row, "failed", error=f"the replay could not be run: {error}")
        else:
            await self._finally(row, "done", report=said)

    async def _still_there(self, row: ReplayRow, progress: dict[str, Any]) -> None:
        with suppress(SQLAlchemyError, OSError):  # the next word says the same and more
            await self._store.say(row.id, "running", progress=progress)
            if self._waiting:
                await self._store.touch([waiting.id for waiting in self._waiting])

    async def _finally(self, row: ReplayRow, state: str, **columns: Unpack[Outcome]) -> None:
        while True:
            try:
                await self._store.say(row.id, state, **columns)
            except (SQLAlchemyError, OSError) as error:
                log.warning("replay.waiting", replay=row.id, error=str(error)[:300])
                await asyncio.sleep(RETRY_AFTER)
            else:
                log.info("replay.ended", replay=row.id, state=state)
                return
