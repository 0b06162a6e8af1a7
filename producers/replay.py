"""Run a stretch of the recorded requests against another version, away from production, and compare the answers.

Requests and replies are read from the log outside of any group, so production does not notice. The version runs in this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import ValidationError

from ..broker.stretch import read_stretch
from ..models.adapters.base import Predictor
from ..models.bodies import read_question
from ..models.tensors import Tensors, shape_key, stack
from ..schemas.errors import InvalidInput, MalformedRecord, ModelMeshError, NotFound
from ..schemas.labels import Label
from ..schemas.profiles import Profile
from ..schemas.records import JSON, PredictionRequest, Reply
from ..schemas.settings import Settings
from ..stats.log_histogram import add_value
from .replay_report import ReplayReport, plain

BATCH = 64


@dataclass(frozen=True)
class Stretch:
    """Which requests: a model's, between two moments (seconds since the epoch), and how many at most."""

    model: str
    begin: float
    end: float
    limit: int | None = None


@dataclass
class Progress:
    """How far a replay is."""

    requests: int = 0
    at: float = 0.0  # the time of the last request that was read
    seconds: float = 0.0


@dataclass
class Replay:
    """One replay; `run` returns its report.

    `labels` by request id go before those on the labels topic. Rows in `earlier` are taken as they are, and not handed to
    `on_row` again.
    """

    settings: Settings
    stretch: Stretch
    predictor: Predictor
    profile: Profile | None = None
    speed: float = 0.0  # times the recorded rate; 0: as fast as the model
    labels: Mapping[str, Any] = field(default_factory=dict)
    on_progress: Callable[[Progress], None] = lambda _: None
    on_row: Callable[[dict[str, Any]], None] = lambda _: None
    earlier: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # rows of a run that was interrupted
    progress: Progress = field(default_factory=Progress)
    model_seconds: float = 0.0

    async def run(self) -> ReplayReport:
        """Read, run and compare. Raises InvalidInput for a stretch of nothing, NotFound where no request lies in it."""
        if self.stretch.end <= self.stretch.begin:
            raise InvalidInput("the stretch ends before it begins", field="to")
        report = ReplayReport(self.profile)
        self.labels = {**await self._labels(), **self.labels}
        recorded = await self._replies(report)
        began = time.monotonic()
        async for batch in self._batches(report):
            self._run_batch(batch, recorded, report)
            self.progress.seconds = time.monotonic() - began
            self.on_progress(self.progress)
            await asyncio.sleep(0)
        if not self.progress.requests:
            raise NotFound(
                f"no request for {self.stretch.model} lies between the two moments; requests are kept for "
                f"{self.settings.topics().requests.kept}",
                field="from",
            )
        return report

    async def _labels(self) -> dict[str, Any]:
        """Return what has been said since to be right; the last word counts."""
        found: dict[str, Any] = {}
        async for record in read_stretch(
            self.settings, self.settings.topics().labels, self.stretch.begin, time.time() + 1
        ):
            try:
                label = Label.model_validate_json(record.value or b"")
            except ValidationError:
                continue
            if label.model == self.stretch.model:
                found[label.request_id] = label.values()
        return found

    async def _replies(self, report: ReplayReport) -> dict[str, dict[str, Any]]:
        """Return the first good answer to each request; one may come as late as the longest deadline allows."""
        found: dict[str, dict[str, Any]] = {}
        end = self.stretch.end + self.settings.max_deadline
        async for record in read_stretch(self.settings, self.settings.topics().replies, self.stretch.begin, end):
            try:
                reply = Reply.from_record(record.headers, record.value)
            except MalformedRecord:
                continue
            if reply.model != self.stretch.model or reply.request_id in found:
                continue
            if not reply.ok:
                report.recorded_errors += 1
            elif reply.content_type == JSON:
                found[reply.request_id] = orjson.loads(reply.body)["outputs"]
                if reply.seconds:
                    add_value(report.recorded_ms, 1000 * reply.seconds)
        return found

    async def _batches(self, report: ReplayReport) -> AsyncIterator[list[tuple[PredictionRequest, Tensors, int]]]:
        """Iterate over requests in the order of the log, those together that may share a batch."""
        seen: set[str] = set()
        batch: list[tuple[PredictionRequest, Tensors, int]] = []
        key: object = None
        began, first = time.monotonic(), None
        topic = self.settings.topics().requests
        async for record in read_stretch(self.settings, topic, self.stretch.begin, self.stretch.end):
            try:
                request = PredictionRequest.from_record(record.headers, record.value)
            except MalformedRecord:
                continue
            if request.model != self.stretch.model or request.request_id in seen:
                continue
            if self.stretch.limit is not None and self.progress.requests >= self.stretch.limit:
                break
            seen.add(request.request_id)
            self.progress.requests += 1
            self.progress.at = record.timestamp / 1000
            try:
                question = read_question(request.body, request.content_type, self.predictor.signature)
            except ModelMeshError:
                report.unreadable += 1
                continue
            if self.speed:
                first = first if first is not None else record.timestamp / 1000
                due = began + (record.timestamp / 1000 - first) / self.speed
                if due > time.monotonic():
                    if batch:
                        yield batch
                        batch = []
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
            if batch and (len(batch) == BATCH or shape_key(question.tensors) != key):
                yield batch
                batch = []
            key = shape_key(question.tensors)
            batch.append((request, question.tensors, question.rows))
        if batch:
            yield batch

    def _run_batch(
        self,
        batch: list[tuple[PredictionRequest, Tensors, int]],
        recorded: dict[str, dict[str, Any]],
        report: ReplayReport,
    ) -> None:
        inputs = stack([tensors for _, tensors, _ in batch])
        report.inputs(inputs)
        # All of a batch or none: the last bits of an answer may depend on who shared the batch with it.
        if self.earlier and all(request.request_id in self.earlier for request, _, _ in batch):
            for request, _, _ in batch:
                self._take(self.earlier[request.request_id], report)
            return
        started = time.perf_counter()
        try:
            outputs = self.predictor.predict(inputs)
        except Exception as error:  # the model is somebody's code
            if len(batch) > 1:
                for one in batch:  # one row may have spoilt it for all
                    report.rows -= one[2]
                    self._run_batch([one], recorded, report)
                return
            error_text = f"{type(error).__name__}: {error}"[:200]
            self._take({"request_id": batch[0][0].request_id, "error": error_text}, report)
            return
        finally:
            self.model_seconds += time.perf_counter() - started
        begin = 0
        for request, _, rows in batch:
            row: dict[str, Any] = {
                "request_id": request.request_id,
                "replayed": plain(outputs, begin, begin + rows),
                "recorded": recorded.get(request.request_id),
            }
            self._take(row, report)
            begin += rows

    def _take(self, row: dict[str, Any], report: ReplayReport) -> None:
        """Count what came of one request, and hand it on if it is new."""
        if "error" in row:
            report.failed += 1
        else:
            truth = self.labels.get(row["request_id"])
            values = truth if isinstance(truth, list) or truth is None else [truth]
            row["agrees"] = report.answered(row["replayed"], row["recorded"], values)
        if row["request_id"] not in self.earlier:
            self.on_row(row)
