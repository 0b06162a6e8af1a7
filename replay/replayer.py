"""Run recorded requests of a time range against another version and compare the answers.

Requests and replies are read without a consumer group, so production is not affected. The version runs in this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import ValidationError

from ..broker.kafka.time_range import read_time_range
from ..models.adapters.base import Predictor
from ..models.values.bodies import parse_request
from ..models.values.tensors import Tensors, shape_key, stack
from ..schemas.errors import InvalidInput, MalformedRecord, ModelMeshError, NotFound
from ..schemas.payloads.labels import Label
from ..schemas.payloads.profiles import Profile
from ..schemas.records import JSON, PredictionRequest, Reply
from ..schemas.settings.mesh import MeshSettings
from ..stats.log_histogram import add_value
from .labels import AnsweredRequest, TimedLabel, identity_of, match_labels
from .report import ReplayReport, plain

BATCH = 64


@dataclass(frozen=True)
class ReplayRange:
    """The requests to replay: those of a model between two times (seconds since the epoch), at most `limit`."""

    model: str
    begin: float
    end: float
    limit: int | None = None


@dataclass
class Progress:
    """The progress of a replay."""

    requests: int = 0
    at: float = 0.0  # the time of the last request that was read
    seconds: float = 0.0


@dataclass
class Replay:
    """One replay; `run` returns its report.

    `labels` are by request id, each for the newest request with that id; they override those on the labels topic. Rows in
    `earlier` are counted as they are and not passed to `on_row` again.
    """

    settings: MeshSettings
    range: ReplayRange
    predictor: Predictor
    profile: Profile | None = None
    speed: float = 0.0  # times the recorded rate; 0: as fast as the model
    labels: Mapping[str, Any] = field(default_factory=dict)
    on_progress: Callable[[Progress], None] = lambda _: None
    on_row: Callable[[dict[str, Any]], None] = lambda _: None
    earlier: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # rows of a run that was interrupted, by nonce
    progress: Progress = field(default_factory=Progress)
    model_seconds: float = 0.0
    _truths: dict[str, Any] = field(default_factory=dict)  # by nonce

    async def run(self) -> ReplayReport:
        """Read, run and compare. Raises InvalidInput for an empty time range, NotFound if it has no request."""
        if self.range.end <= self.range.begin:
            raise InvalidInput("the time range ends before it begins", field="to")
        report = ReplayReport(self.profile)
        answers: list[AnsweredRequest] = []
        recorded = await self._replies(report, answers)
        given = (TimedLabel(request_id, values) for request_id, values in self.labels.items())
        self._truths = match_labels(answers, [*await self._labels(), *given])
        began = time.monotonic()
        async for batch in self._batches(report):
            self._run_batch(batch, recorded, report)
            self.progress.seconds = time.monotonic() - began
            self.on_progress(self.progress)
            await asyncio.sleep(0)
        if not self.progress.requests:
            raise NotFound(
                f"no request for {self.range.model} lies in the time range; requests are kept for "
                f"{self.settings.topics().requests.kept}",
                field="from",
            )
        return report

    async def _labels(self) -> list[TimedLabel]:
        """Return the model's labels since the start of the range, in the order of the log."""
        found: list[TimedLabel] = []
        async for record in read_time_range(
            self.settings, self.settings.topics().labels, self.range.begin, time.time() + 1
        ):
            try:
                label = Label.model_validate_json(record.value or b"")
            except ValidationError:
                continue
            if label.model == self.range.model:
                found.append(TimedLabel(label.request_id, label.values(), record.timestamp / 1000, label.caller))
        return found

    async def _replies(self, report: ReplayReport, answers: list[AnsweredRequest]) -> dict[str, dict[str, Any]]:
        """Return the first successful answer to each request by nonce; append caller and time of each answer to `answers`.

        Reads beyond the time range by the longest deadline, since answers may come that late.
        """
        found: dict[str, dict[str, Any]] = {}
        end = self.range.end + self.settings.max_deadline
        async for record in read_time_range(self.settings, self.settings.topics().replies, self.range.begin, end):
            try:
                reply = Reply.from_record(record.headers, record.value)
            except MalformedRecord:
                continue
            if reply.model != self.range.model or reply.identity in found:
                continue
            answers.append(AnsweredRequest(reply.request_id, reply.identity, record.timestamp / 1000, reply.caller))
            if not reply.ok:
                report.recorded_errors += 1
            elif reply.content_type == JSON:
                found[reply.identity] = orjson.loads(reply.body)["outputs"]
                if reply.seconds:
                    add_value(report.recorded_ms, 1000 * reply.seconds)
        return found

    async def _batches(self, report: ReplayReport) -> AsyncIterator[list[tuple[PredictionRequest, Tensors, int]]]:
        """Iterate over batches of requests, in the order of the log; requests of one shape share a batch."""
        seen: set[str] = set()
        batch: list[tuple[PredictionRequest, Tensors, int]] = []
        key: object = None
        began, first = time.monotonic(), None
        topic = self.settings.topics().requests
        async for record in read_time_range(self.settings, topic, self.range.begin, self.range.end):
            try:
                request = PredictionRequest.from_record(record.headers, record.value)
            except MalformedRecord:
                continue
            if request.model != self.range.model or request.identity in seen:
                continue
            if self.range.limit is not None and self.progress.requests >= self.range.limit:
                break
            seen.add(request.identity)
            self.progress.requests += 1
            self.progress.at = record.timestamp / 1000
            try:
                parsed = parse_request(request.body, request.content_type, self.predictor.signature)
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
            if batch and (len(batch) == BATCH or shape_key(parsed.tensors) != key):
                yield batch
                batch = []
            key = shape_key(parsed.tensors)
            batch.append((request, parsed.tensors, parsed.rows))
        if batch:
            yield batch

    def _run_batch(
        self,
        batch: list[tuple[PredictionRequest, Tensors, int]],
        recorded: dict[str, dict[str, Any]],
        report: ReplayReport,
    ) -> None:
        inputs = stack([tensors for _, tensors, _ in batch])
        report.add_inputs(inputs)
        # The whole batch or none: the last bits of an answer may depend on its batch mates.
        if self.earlier and all(request.identity in self.earlier for request, _, _ in batch):
            for request, _, _ in batch:
                self._add_row(self.earlier[request.identity], report)
            return
        started = time.perf_counter()
        try:
            outputs = self.predictor.predict(inputs)
        except Exception as error:  # the model is user code
            if len(batch) > 1:
                for one in batch:  # one bad row can fail the whole batch
                    report.rows -= one[2]
                    self._run_batch([one], recorded, report)
                return
            error_text = f"{type(error).__name__}: {error}"[:200]
            first = batch[0][0]
            self._add_row({"request_id": first.request_id, "nonce": first.identity, "error": error_text}, report)
            return
        finally:
            self.model_seconds += time.perf_counter() - started
        begin = 0
        for request, _, rows in batch:
            row: dict[str, Any] = {
                "request_id": request.request_id,
                "nonce": request.identity,
                "replayed": plain(outputs, begin, begin + rows),
                "recorded": recorded.get(request.identity),
            }
            self._add_row(row, report)
            begin += rows

    def _add_row(self, row: dict[str, Any], report: ReplayReport) -> None:
        """Add one row to the report; pass it to `on_row` if it is new."""
        if "error" in row:
            report.failed += 1
        else:
            truth = self._truths.get(identity_of(row))
            values = truth if isinstance(truth, list) or truth is None else [truth]
            row["agrees"] = report.add_answer(row["replayed"], row["recorded"], values)
        if identity_of(row) not in self.earlier:
            self.on_row(row)
