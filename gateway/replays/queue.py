"""A queue of the replays that were started over HTTP; they run one at a time."""

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
# Runs a replay with these options; yields its progress, and at the end its document.
Run: TypeAlias = Callable[[Mapping[str, Any]], AsyncGenerator[dict[str, Any], None]]


class ReplayQueue:
    """Runs replays in order. While the database is unavailable they keep running; the outcome is written when it is back."""

    def __init__(self, store: ReplayStore, run: Run) -> None:
        self._store = store
        self._run = run
        self._waiting: deque[ReplayRow] = deque()
        self._not_empty = asyncio.Event()

    async def add(self, model: str, options: dict[str, Any], actor: str) -> ReplayRow:
        """Append a replay to the queue. Raises Overloaded if the queue is full."""
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded(f"the queue is full: {len(self._waiting)} replays are waiting", retry_after=60.0)
        row = await self._store.add(model, options, actor)
        self._waiting.append(row)
        self._not_empty.set()
        return row

    async def run(self) -> None:
        """Run replays until cancelled; then mark the unfinished ones as interrupted."""
        while True:
            await self._not_empty.wait()
            self._not_empty.clear()
            while self._waiting:
                row = self._waiting.popleft()
                try:
                    await self._run_one(row)
                except asyncio.CancelledError:
                    for unfinished in (row, *self._waiting):
                        with suppress(SQLAlchemyError, OSError):
                            await self._store.set_state(unfinished.id, "interrupted")
                    raise

    async def _run_one(self, row: ReplayRow) -> None:
        document: dict[str, Any] = {}
        try:
            async with aclosing(self._run(row.asked)) as steps:
                async for document in steps:
                    if "report" not in document:
                        await self._write_progress(row, document)
        except ModelMeshError as error:
            await self._finish(row, "failed", error=error.detail)
        except Exception as error:  # one failed replay must not stop the queue
            log.exception("replay.failed", replay=row.id)
            await self._finish(row, "failed", error=f"the replay could not be run: {error}")
        else:
            await self._finish(row, "done", report=document)

    async def _write_progress(self, row: ReplayRow, progress: dict[str, Any]) -> None:
        with suppress(SQLAlchemyError, OSError):  # the next progress report includes this one
            await self._store.set_state(row.id, "running", progress=progress)
            if self._waiting:
                await self._store.touch([waiting.id for waiting in self._waiting])

    async def _finish(self, row: ReplayRow, state: str, **columns: Unpack[Outcome]) -> None:
        while True:
            try:
                await self._store.set_state(row.id, state, **columns)
            except (SQLAlchemyError, OSError) as error:
                log.warning("replay.waiting", replay=row.id, error=str(error)[:300])
                await asyncio.sleep(RETRY_AFTER)
            else:
                log.info("replay.ended", replay=row.id, state=state)
                return
