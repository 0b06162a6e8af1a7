"""The inference log: one row for each request, with its first outcome, exactly once.

Requests and replies come from different topics in any order, some of them twice, and are matched by nonce and model. Each write
is an idempotent upsert, and the offsets are stored in the same transaction, so that a restart resumes at the database's state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from sqlalchemy import case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from ..registry.storage.database import Base, InferenceRow, clip_to_column, upsert
from ..schemas.errors import MalformedRecord
from ..schemas.names import REQUEST_ID
from ..schemas.payloads.label_reports import label_unit
from ..schemas.records import PredictionRequest, Reply
from .log_offsets import move_offsets

_MAX_ATTEMPTS = 1000
_LOG = Base.metadata.tables[InferenceRow.__tablename__]
_KEY = ("request_id", "nonce", "model")
_OUTCOME = (
    "answered_at", "status", "version", "variant", "worker", "reply", "trial", "generation", "fallback",
)  # fmt: skip
_NO_OUTCOME = dict.fromkeys(_OUTCOME)


class InferenceLog:
    """Writes and reads the log's rows. `bodies` says whether requests and replies are kept with them."""

    def __init__(self, engine: AsyncEngine, *, bodies: bool = True) -> None:
        self._engine = engine
        self._bodies = bodies
        self._upsert = _upsert(engine)
        self.unreadable: list[tuple[ConsumerRecord, str]] = []  # malformed replies and the reason

    async def write(
        self, requests: Iterable[ConsumerRecord], replies: Iterable[ConsumerRecord], offsets: dict[TopicPartition, int]
    ) -> None:
        """Store requests, replies and the partitions' next offsets in one transaction."""
        rows = _merged([*map(self._request_row, requests), *map(self._reply_row, replies)])
        async with self._engine.begin() as connection:
            if rows:
                await connection.execute(self._upsert, rows)
            await move_offsets(connection, offsets)

    async def forget(self, before: datetime) -> int:
        """Delete the rows of requests before a time; return how many."""
        async with self._engine.begin() as connection:
            return (await connection.execute(delete(_LOG).where(_LOG.c.at < before))).rowcount

    async def page(
        self,
        *,
        models: Collection[str] | None,
        version: str | None,
        status: int | None,
        missing: bool,
        page: int,
        per_page: int,
        request_id: str | None = None,
    ) -> tuple[list[InferenceRow], int]:
        """Return one page of rows, newest first, and the total.

        `models`: only these (None: all); `missing`: only rows without an outcome.
        """
        query = select(InferenceRow)
        if models is not None:
            query = query.where(InferenceRow.model.in_(models))
        for column, value in (
            (InferenceRow.version, version),
            (InferenceRow.status, status),
            (InferenceRow.request_id, request_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if missing:
            query = query.where(InferenceRow.status.is_(None))
        async with AsyncSession(self._engine) as session:
            total = await session.scalar(select(func.count()).select_from(query.subquery()))
            newest = query.order_by(InferenceRow.at.desc()).offset((page - 1) * per_page).limit(per_page)
            return list(await session.scalars(newest)), total or 0

    async def get(self, request_id: str) -> InferenceRow | None:
        """Return the row of the newest request with this id, or None."""
        return next(iter(await self.find(request_id, limit=1)), None)

    async def find(
        self, request_id: str, *, models: Collection[str] | None = None, nonce: str | None = None, limit: int = 100
    ) -> list[InferenceRow]:
        """Return at most `limit` rows with this id and of these models (None: any), newest first."""
        query = select(InferenceRow).where(InferenceRow.request_id == request_id)
        if models is not None:
            query = query.where(InferenceRow.model.in_(models))
        if nonce is not None:
            query = query.where(InferenceRow.nonce == nonce)
        async with AsyncSession(self._engine) as session:
            return list(await session.scalars(query.order_by(InferenceRow.at.desc()).limit(limit)))

    def _request_row(self, record: ConsumerRecord) -> dict[str, Any] | None:
        try:
            request = PredictionRequest.from_record(record.headers, record.value)
        except MalformedRecord:
            return None  # the router dead-letters it
        return {
            "nonce": request.identity,
            "request_id": request.request_id,
            "caller": clip_to_column(InferenceRow.caller, request.caller),
            "model": clip_to_column(InferenceRow.model, request.model),
            "at": moment_of(record),
            "attempts": _attempts(request.attempt),
            "request": request.body if self._bodies else None,
            "key_unit": label_unit(request.routing_key) if request.routing_key else None,
            **_NO_OUTCOME,
        }

    def _reply_row(self, record: ConsumerRecord) -> dict[str, Any] | None:
        try:
            reply = Reply.from_record(record.headers, record.value)
        except MalformedRecord as error:
            self.unreadable.append((record, error.detail))
            return None
        named = REQUEST_ID.fullmatch(reply.request_id) and REQUEST_ID.fullmatch(reply.identity)
        if not named or not 100 <= reply.status <= 599:
            return None  # not a reply to any request
        moment = moment_of(record)
        return {
            "nonce": reply.identity,
            "request_id": reply.request_id,
            "caller": clip_to_column(InferenceRow.caller, reply.caller),
            "model": clip_to_column(InferenceRow.model, reply.model),
            "at": moment,
            "attempts": _attempts(reply.attempt),
            "request": None,
            "key_unit": None,
            "answered_at": moment,
            "status": reply.status,
            "version": clip_to_column(InferenceRow.version, reply.version),
            "variant": clip_to_column(InferenceRow.variant, reply.variant),
            "worker": clip_to_column(InferenceRow.worker, reply.worker),
            "reply": reply.body if self._bodies else None,
            "trial": _generation(reply.trial),
            "generation": _generation(reply.generation),
            "fallback": clip_to_column(InferenceRow.fallback, reply.fallback),
        }


def _upsert(engine: AsyncEngine) -> Any:
    """Return the statement that stores a row, or completes the one that is there; its first outcome is kept."""
    insert = upsert(engine)(_LOG)
    new, old = insert.excluded, _LOG.c
    outcome = {name: case((old.status.is_(None), new[name]), else_=old[name]) for name in _OUTCOME}
    return insert.on_conflict_do_update(
        index_elements=_KEY,
        set_={
            "at": case((new.at < old.at, new.at), else_=old.at),
            "attempts": case((new.attempts > old.attempts, new.attempts), else_=old.attempts),
            "request": func.coalesce(old.request, new.request),
            "key_unit": func.coalesce(old.key_unit, new.key_unit),
            **outcome,
        },
    )


def _merged(rows: Iterable[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Return one row for each request, merged by the rules of `_upsert`: a request and its reply mostly come together."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        if row is None:
            continue
        first = found.setdefault((row["request_id"], row["nonce"], row["model"]), row)
        if first is row:
            continue
        first["at"] = min(first["at"], row["at"])
        first["attempts"] = max(first["attempts"], row["attempts"])
        for name in ("request", "key_unit"):
            if first[name] is None:
                first[name] = row[name]
        if first["status"] is None:
            first.update((name, row[name]) for name in _OUTCOME)
    return list(found.values())


def _generation(number: int) -> int | None:
    """Return a generation from a reply; None if there is none, or it does not fit the column."""
    return number if 0 < number < 2**31 else None


def _attempts(number: int) -> int:
    return max(1, min(number, _MAX_ATTEMPTS))


def moment_of(record: ConsumerRecord) -> datetime:
    """Return the record's time; now, if its producer set one that is out of range."""
    try:
        return datetime.fromtimestamp(record.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def retention_limit(days: float) -> datetime:
    """Return the time `days` ago, before which rows are deleted."""
    return datetime.now(UTC) - timedelta(days=days)
