"""Labels in the database, joined with the answers that they are about, in any order of arrival."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import orjson
from aiokafka import ConsumerRecord, TopicPartition
from pydantic import ValidationError
from sqlalchemy import Exists, Row, case, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..models.values.truth import Tally, compare_with_truth
from ..registry.storage.database import Base, InferenceRow, LabelRow, ModelRow, VersionRow, clip_to_column, now, upsert
from ..schemas.payloads.labels import Label
from .inference_log import moment_of
from .label_reports import LabelReports
from .log_offsets import move_offsets

# Labels joined in one transaction.
JOIN_BATCH = 500
# How long a label waits for an answer to its own caller before it may join another caller's request.
OTHER_CALLERS_AFTER = timedelta(seconds=60)
WINDOWS = {"1 h": timedelta(hours=1), "24 h": timedelta(days=1), "all": None}
_LABELS = Base.metadata.tables[LabelRow.__tablename__]
_LOG = Base.metadata.tables[InferenceRow.__tablename__]


class Labels:
    """Stores labels, compares answers with them, and sums up accuracy by version."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def write(
        self, records: Iterable[ConsumerRecord], offsets: dict[TopicPartition, int]
    ) -> list[tuple[ConsumerRecord, str]]:
        """Store labels and the partitions' next offsets in one transaction; return malformed records with the reason.

        A later label for the same request replaces the earlier one.
        """
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        unreadable: list[tuple[ConsumerRecord, str]] = []
        for record in records:
            try:
                label = Label.model_validate_json(record.value or b"")
            except ValidationError as error:
                problem = error.errors()[0]
                unreadable.append((record, f"not a label: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"))
                continue
            caller = clip_to_column(LabelRow.caller, label.caller)
            rows[label.model, label.request_id, caller] = {
                "request_id": label.request_id,
                "model": label.model,
                "caller": caller,
                # PostgreSQL does not allow NUL, even in JSON.
                "label": [value.replace("\0", "") if isinstance(value, str) else value for value in label.values()],
                "at": min(now(), moment_of(record)),
            }
        insert = upsert(self._engine)(_LABELS)
        replaced = {name: insert.excluded[name] for name in ("label", "at")}
        cleared = dict.fromkeys(("version", "rows", "right", "error"))
        async with self._engine.begin() as connection:
            if rows:
                merged = insert.on_conflict_do_update(
                    index_elements=["model", "request_id", "caller"], set_={**replaced, **cleared}
                )
                await connection.execute(merged, list(rows.values()))
            await move_offsets(connection, offsets)
        return unreadable

    async def compare(self) -> set[str]:
        """Join waiting labels with their answers, and store reports of them; return the models whose accuracy changed."""
        waiting = (
            select(_LABELS)
            .where(_LABELS.c.rows.is_(None), exists().where(*_answered(_LABELS.c, now() - OTHER_CALLERS_AFTER)))
            .limit(JOIN_BATCH)
        )
        models: set[str] = set()
        while True:
            async with self._engine.begin() as connection:
                found, reports = (await connection.execute(waiting)).all(), LabelReports()
                for label in found:
                    values: dict[str, Any] = {"rows": 0}
                    row = await _answer_to(connection, label)
                    if row is not None and not row.reregistered:
                        values["version"] = row.version
                        verdict = compare_with_truth(_outputs(row.reply), label.label) if row.status == 200 else None
                        if verdict is not None:
                            values |= asdict(verdict)
                            models.add(label.model)
                            await reports.add(connection, row, verdict)
                    await connection.execute(update(_LABELS).where(*_same(label)).values(values))
                await reports.write(connection)
            if len(found) < JOIN_BATCH:
                return models

    async def models(self) -> set[str]:
        """Return the models with joined labels."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(_LABELS.c.model).where(_LABELS.c.rows > 0).distinct())
            return set(found.scalars())

    async def accuracy(self, model: str) -> dict[str, dict[str, Any]]:
        """Return {version: {window: figures}}: the number of labelled rows, and their accuracy or error.

        A version that was deleted and registered again starts from zero.
        """
        versions: dict[str, dict[str, Any]] = {}
        again = _reregistered(model, _LABELS.c.version, _LABELS.c.at)
        async with self._engine.connect() as connection:
            for window, length in WINDOWS.items():
                query = (
                    select(
                        _LABELS.c.version,
                        func.sum(_LABELS.c.rows).label("rows"),
                        func.sum(_LABELS.c.right).label("right"),
                        func.sum(case((_LABELS.c.right.is_not(None), _LABELS.c.rows))).label("labelled"),
                        func.sum(_LABELS.c.error).label("error"),
                        func.sum(case((_LABELS.c.error.is_not(None), _LABELS.c.rows))).label("measured"),
                    )
                    .where(_LABELS.c.model == model, _LABELS.c.rows > 0, ~again)
                    .group_by(_LABELS.c.version)
                )
                if length is not None:
                    query = query.where(_LABELS.c.at >= now() - length)
                for row in await connection.execute(query):
                    tally = Tally(row.rows, row.right or 0, row.labelled or 0, row.error or 0.0, row.measured or 0)
                    versions.setdefault(row.version or "", {})[window] = tally.figures()
        return dict(sorted(versions.items()))

    async def forget(self, before: datetime) -> int:
        """Delete labels from before a time; return how many."""
        async with self._engine.begin() as connection:
            return (await connection.execute(delete(_LABELS).where(_LABELS.c.at < before))).rowcount


def _reregistered(model: str, version: Any, at: Any) -> Exists:
    """Return the condition that a version was registered after a time: earlier answers came from other bytes."""
    versions, models = VersionRow.__table__.c, ModelRow.__table__.c
    mine = (versions.model_id == models.id, models.name == model, versions.version == version)
    return select(versions.id).where(*mine, versions.created_at > at).exists()


def _same(label: Row[Any]) -> tuple[Any, ...]:
    return (
        _LABELS.c.model == label.model,
        _LABELS.c.request_id == label.request_id,
        _LABELS.c.caller == label.caller,
    )


def _answered(label: Any, old: datetime) -> tuple[Any, ...]:
    """Return the conditions for answers that a label may be about; others' only for labels from before `old`."""
    return (
        _LOG.c.request_id == label.request_id,
        _LOG.c.model == label.model,
        _LOG.c.status.is_not(None),
        (_LOG.c.caller == label.caller) | (label.at < old),
    )


async def _answer_to(connection: AsyncConnection, label: Row[Any]) -> Any:
    """Return the answer that a label is about; None if several other callers have used its id.

    The sender's own requests take precedence. Of several, it is the newest before the label, else the first after it.
    """
    those = (_LOG.c.request_id == label.request_id, _LOG.c.model == label.model, _LOG.c.status.is_not(None))
    callers = set((await connection.execute(select(_LOG.c.caller).where(*those).distinct())).scalars())
    if label.caller not in callers and len(callers) > 1:
        return None
    caller = label.caller if label.caller in callers else callers.pop()
    again = _reregistered(label.model, _LOG.c.version, _LOG.c.at).label("reregistered")
    answers = select(_LOG, again).where(*those, _LOG.c.caller == caller).limit(1)
    before = answers.where(_LOG.c.at <= label.at).order_by(_LOG.c.at.desc())
    after = answers.where(_LOG.c.at > label.at).order_by(_LOG.c.at)
    return (await connection.execute(before)).first() or (await connection.execute(after)).first()


def _outputs(reply: bytes | None) -> dict[str, Any]:
    """Return a reply's outputs; {} if the body was not kept, or is not in /predict's format."""
    try:
        outputs = orjson.loads(reply or b"")["outputs"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}
    return outputs if isinstance(outputs, dict) else {}
