"""Reports of labelled answers to the judge, by way of the database: none is lost, and each request is in one only.

A report is written in the transaction that joins its labels, and deleted once it is on the log. A crash between the two
publishes it again under the same number, which the judge knows. A request is reported with its first label: it is marked in
the same transaction, so a corrected label, or another sender's, changes the accuracy that is shown but not the evidence.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..broker.kafka.outbox import Outbox
from ..models.values.truth import BatchAccuracy
from ..registry.storage.database import Base, InferenceRow, LabelReportRow, now
from ..schemas.errors import ModelMeshError
from ..schemas.payloads.label_reports import LABELLED, Kind, LabelledAnswer, LabelReport

log = structlog.get_logger(__name__)
# Reports read from the database at once.
READ = 20
# An overflow of the sum of a request's errors; JSON has no infinity.
LARGEST = 1e300
_LOG = Base.metadata.tables[InferenceRow.__tablename__]
_REPORTS = Base.metadata.tables[LabelReportRow.__tablename__]


def labelled_answer(row: Any, verdict: BatchAccuracy) -> LabelledAnswer | None:
    """Return what a row of the inference log and its label tell the judge; None if the request belongs to no trial.

    Requests pinned to a version have no trial. One that stable answered because the candidate failed counts for the candidate,
    and one from the cache for the version it was assigned to. Of a classifier's several rows one is drawn by the request's
    nonce: the rows of a request share its version, so they are one observation.
    """
    if not row.trial or not row.generation or not verdict.rows:
        return None
    candidate = row.variant == "candidate" or bool(row.fallback)
    if verdict.right is not None:
        drawn = crc32(row.nonce.encode()) / 2**32
        loss = float(drawn < 1 - verdict.right / verdict.rows)
    elif verdict.error is not None:
        loss = min(verdict.error / verdict.rows, LARGEST)
    else:
        return None
    return LabelledAnswer(row.generation, candidate, loss, row.key_unit)


class LabelReports:
    """The reports of one transaction, by model, trial and kind."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, Kind], list[LabelledAnswer]] = {}

    async def add(self, connection: AsyncConnection, row: Any, verdict: BatchAccuracy) -> None:
        """Add a request whose label has come, unless it was reported before."""
        answer = labelled_answer(row, verdict)
        if answer is None:
            return
        mine = (_LOG.c.request_id == row.request_id, _LOG.c.nonce == row.nonce, _LOG.c.model == row.model)
        marked = await connection.execute(update(_LOG).where(*mine, _LOG.c.reported.is_not(True)).values(reported=True))
        if marked.rowcount:
            kind: Kind = "right" if verdict.right is not None else "error"
            self._found.setdefault((row.model, row.trial, kind), []).append(answer)

    async def write(self, connection: AsyncConnection) -> None:
        """Store the reports in the same transaction."""
        at = now().timestamp()
        for (model, trial, kind), answers in self._found.items():
            report = LabelReport(model=model, trial=trial, number=0, at=at, kind=kind, answers=answers)
            values = {"model": model, "report": report.model_dump(mode="json", exclude={"number"})}
            await connection.execute(_REPORTS.insert().values(values))


async def publish_reports(engine: AsyncEngine, outbox: Outbox, topic: str) -> None:
    """Publish the stored reports in order. While the broker is down they stay in the database."""
    stored = select(_REPORTS).order_by(_REPORTS.c.id).limit(READ)
    while True:
        async with engine.connect() as connection:
            found = (await connection.execute(stored)).all()
        for row in found:
            report = LabelReport.model_validate({**row.report, "number": row.id})
            try:
                # One after the other: a later one on the log says that all before it are there.
                await outbox.write(topic, [(row.model, report.model_dump_json().encode())], headers=[LABELLED])
            except ModelMeshError as error:
                log.warning("labels.report_waiting", model=row.model, error=str(error)[:300])
                return
            async with engine.begin() as connection:
                await connection.execute(delete(_REPORTS).where(_REPORTS.c.id == row.id))
        if len(found) < READ:
            return
