"""Labels in the database: each meets the answer that it is the truth about, whichever of the two comes first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import orjson
from aiokafka import ConsumerRecord, TopicPartition
from pydantic import ValidationError
from sqlalchemy import case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from ..models.truth import Tally, compare_with_truth
from ..schemas.labels import Label
from .database import Base, InferenceRow, LabelRow, now, upsert
from .log_offsets import move_offsets

# So many labels meet their answers in one transaction.
AT_ONCE = 500
WINDOWS = {"1 h": timedelta(hours=1), "24 h": timedelta(days=1), "all": None}
_LABELS = Base.metadata.tables[LabelRow.__tablename__]
_LOG = Base.metadata.tables[InferenceRow.__tablename__]


class Labels:
    """Writes labels down, compares answers with them, and adds up by version."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def write(
        self, records: Iterable[ConsumerRecord], offsets: dict[TopicPartition, int]
    ) -> list[tuple[ConsumerRecord, str]]:
        """Write labels down with the offsets they came from; return the records that were none, and why.

        A later label for the same request takes the place of the earlier one.
        """
        rows: dict[str, dict[str, Any]] = {}
        unreadable: list[tuple[ConsumerRecord, str]] = []
        for record in records:
            try:
                label = Label.model_validate_json(record.value or b"")
            except ValidationError as error:
                problem = error.errors()[0]
                unreadable.append((record, f"not a label: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"))
                continue
            rows[label.request_id] = {
                "request_id": label.request_id,
                "model": label.model,
                # PostgreSQL takes no NUL, not in JSON either.
                "label": [value.replace("\0", "") if isinstance(value, str) else value for value in label.values()],
                "at": now(),
            }
        insert = upsert(self._engine)(_LABELS)
        replaced = {name: insert.excluded[name] for name in ("model", "label", "at")}
        forgotten = dict.fromkeys(("version", "rows", "right", "error"))
        async with self._engine.begin() as connection:
            if rows:
                merged = insert.on_conflict_do_update(index_elements=["request_id"], set_={**replaced, **forgotten})
                await connection.execute(merged, list(rows.values()))
            await move_offsets(connection, offsets)
        return unreadable

    async def compare(self) -> set[str]:
        """Compare answers with labels that had not met them yet; return the models that this says something new of."""
        waiting = (
            select(_LABELS.c.request_id, _LABELS.c.label, _LABELS.c.model, _LOG.c.version, _LOG.c.status, _LOG.c.reply)
            .join(_LOG, (_LOG.c.request_id == _LABELS.c.request_id) & (_LOG.c.model == _LABELS.c.model))
            .where(_LABELS.c.rows.is_(None), _LOG.c.status.is_not(None))
            .limit(AT_ONCE)
        )
        models: set[str] = set()
        while True:
            async with self._engine.begin() as connection:
                found = (await connection.execute(waiting)).all()
                for row in found:
                    verdict = compare_with_truth(_outputs(row.reply), row.label) if row.status == 200 else None
                    values: dict[str, Any] = {"rows": 0, "version": row.version}
                    if verdict is not None:
                        values |= asdict(verdict)
                        models.add(row.model)
                    await connection.execute(
                        update(_LABELS).where(_LABELS.c.request_id == row.request_id).values(values)
                    )
            if len(found) < AT_ONCE:
                return models

    async def models(self) -> set[str]:
        """Return the models of which some answers have met their labels."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(_LABELS.c.model).where(_LABELS.c.rows > 0).distinct())
            return set(found.scalars())

    async def accuracy(self, model: str) -> dict[str, dict[str, Any]]:
        """Return {version: {window: figures}}: the rows that have labels, and how right their answers were."""
        versions: dict[str, dict[str, Any]] = {}
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
                    .where(_LABELS.c.model == model, _LABELS.c.rows > 0)
                    .group_by(_LABELS.c.version)
                )
                if length is not None:
                    query = query.where(_LABELS.c.at >= now() - length)
                for row in await connection.execute(query):
                    tally = Tally(row.rows, row.right or 0, row.labelled or 0, row.error or 0.0, row.measured or 0)
                    versions.setdefault(row.version or "", {})[window] = tally.figures()
        return dict(sorted(versions.items()))

    async def forget(self, before: datetime) -> int:
        """Delete labels that came before a moment; return how many."""
        async with self._engine.begin() as connection:
            return (await connection.execute(delete(_LABELS).where(_LABELS.c.at < before))).rowcount


def _outputs(reply: bytes | None) -> dict[str, Any]:
    """Return a reply's outputs; what is not kept, or not in /predict's form, has none."""
    try:
        outputs = orjson.loads(reply or b"")["outputs"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}
    return outputs if isinstance(outputs, dict) else {}
