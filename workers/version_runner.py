"""Serve one version: requests wait in a batch queue, batches run off the event loop, each request gets its own answer.

A compiled form may leave some rows to the model that it was compiled from, and the model may be seen to answer otherwise. Then a
server of the model itself, `beyond`, takes those requests, or from then on all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic

import numpy as np

from ..models.compiled.domain import OutsideDomain
from ..models.values.bodies import ParsedRequest, parse_request
from ..models.values.tensors import Tensors, row_bytes, shape_key, stack
from ..resilience.batch_cost import BatchCost
from ..resilience.peak_ewma import PeakEwma
from ..schemas.errors import DeadlineExceeded, ModelFailed, ModelMeshError, ModelRefusedInput
from ..schemas.payloads.releases import VersionSpec
from ..schemas.records import PredictionRequest
from ..schemas.value_class import value_class
from .batching import BatchQueue
from .compiled_watch import CompiledWatch
from .execution import LoadedModel
from .original_model import OriginalModel
from .results import BatchRun, RequestResult, Token

# Seconds: answers change the estimated service time within one; without answers it fades much more slowly.
SERVICE_DECAY, SERVICE_FADE = 1.0, 30.0


@value_class
class _Waiting(Generic[Token]):
    request: PredictionRequest
    token: Token
    question: ParsedRequest
    since: float

    @property
    def rows(self) -> int:
        return self.question.rows


class VersionRunner(Generic[Token]):
    """A loaded version with its queue. `submit` never blocks; `on_result` gets each request's outcome exactly once."""

    def __init__(
        self,
        spec: VersionSpec,
        loaded: LoadedModel | OriginalModel,
        *,
        on_result: Callable[[RequestResult[Token]], None],
        on_batch: Callable[[BatchRun], None],
        max_batch_bytes: int = 16 * 1024 * 1024,
        beyond: VersionRunner[Token] | None = None,
    ) -> None:
        self.spec = spec
        self._loaded = loaded
        # One whose answers depend on company gets none: each request is a batch of its own.
        batching = spec.batching.model_copy(update={"max_batch_size": 1}) if spec.alone else spec.batching
        self._queue: BatchQueue[_Waiting[Token]] = BatchQueue(batching, loaded.slots, max_batch_bytes)
        self._beyond = beyond
        self._compiled_differs = False
        self.watch: CompiledWatch | None = None
        self._on_result = on_result
        self._on_batch = on_batch
        self._running = 0
        self._rows_running = 0
        self._started: list[float] = []  # when the batches that run now began
        self._timer: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._service = PeakEwma(SERVICE_DECAY, SERVICE_FADE)
        self._cost = BatchCost()
        self._loaded_at = self._loop.time()

    @property
    def queued(self) -> int:
        """Requests that wait for a batch."""
        return len(self._queue) + (self._beyond.queued if self._beyond is not None else 0)

    @property
    def in_service(self) -> int:
        """Rows in the model now."""
        return self._rows_running + (self._beyond.in_service if self._beyond is not None else 0)

    @property
    def service_ms(self) -> float:
        """A batch's time in the model, as of late; one that runs already takes as long as it has run."""
        now = self._loop.time()
        running = max((now - started for started in self._started), default=0.0)
        return max(self._service.read(now), 1000 * running)

    @property
    def batch_requests(self) -> float:
        """Requests in a batch, on average of late."""
        return self._cost.mean_size

    @property
    def request_ms(self) -> float:
        """What a request costs when the batches are full, in ms."""
        return self._cost.full_batch(self.spec.batching.max_batch_size)

    @property
    def age(self) -> float:
        """Seconds since the version was loaded."""
        return self._loop.time() - self._loaded_at

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._queue and not self._running and (self._beyond is None or self._beyond.idle)

    def submit(self, request: PredictionRequest, token: Token) -> None:
        """Read the inputs and let the request wait for its batch; what cannot be read is answered at once."""
        try:
            question = parse_request(request.body, request.content_type, self.spec.signature, request.request_id)
        except ModelMeshError as error:
            self._on_result(RequestResult(request, token, error, self.spec.version, 0, identity=self.spec.identity))
            return
        waiting = _Waiting(request, token, question, self._loop.time())
        if self._compiled_differs and self._beyond is not None:
            self._beyond._wait(waiting)
        else:
            self._wait(waiting)

    def _wait(self, waiting: _Waiting[Token]) -> None:
        question, interactive = waiting.question, waiting.request.priority == "interactive"
        self._queue.put(
            waiting,
            question.rows,
            shape_key(question.tensors),
            waiting.since,
            interactive=interactive,
            row_bytes=row_bytes(question.tensors, question.rows),
        )
        if self._timer is None:
            # At the end of this turn of the loop: records that were fetched together go together.
            self._timer = self._loop.call_soon(self._dispatch)

    def leave_to_original(self) -> None:
        """The compiled form was seen to differ from the model: from now on the model answers."""
        self._compiled_differs = True

    def close(self) -> None:
        """Let the model go."""
        if self.watch is not None:
            self.watch.stop()
        if self._beyond is not None:
            self._beyond.close()
        self._loaded.close()

    def _dispatch(self) -> None:
        self._timer = None
        while (due := self._queue.due_at(self._running, self._loop.time())) is not None:
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._dispatch)
                return
            task = self._loop.create_task(self._run(self._queue.take()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._running += 1

    async def _run(self, batch: list[_Waiting[Token]]) -> None:
        rows = sum(waiting.rows for waiting in batch)
        self._rows_running += rows
        started = self._loop.time()
        self._started.append(started)
        try:
            await self._answer_batch(batch, started)
        finally:
            self._started.remove(started)
            self._running -= 1
            self._rows_running -= rows
            if self._timer is not None:
                self._timer.cancel()
            self._dispatch()

    async def _answer_batch(self, batch: list[_Waiting[Token]], started: float) -> None:
        batch = self._without_the_late(batch)
        if not batch:
            return
        rows = sum(waiting.rows for waiting in batch)
        inputs = stack([waiting.question.tensors for waiting in batch])
        try:
            outputs = _checked(await self._loaded.predict(inputs), rows)
        except OutsideDomain as outside:
            self._leave_some(batch, inputs, outside, started)
            return
        except (ModelFailed, ModelRefusedInput) as error:
            if len(batch) == 1:
                self._serve(batch[0], error, rows)
                return
            # One row may have spoilt it for all: each request is judged by its own rows.
            for waiting in batch:
                await self._answer_batch([waiting], self._loop.time())
            return
        self._hand_out(batch, inputs, outputs, started)
        if self.watch is not None:
            self.watch.saw(inputs, outputs, self._loop.time())

    def _hand_out(self, batch: list[_Waiting[Token]], inputs: Tensors, outputs: Tensors, started: float) -> None:
        """Give each request its rows of the outputs."""
        rows = sum(waiting.rows for waiting in batch)
        taken = self._loop.time() - started
        self._service.add(taken * 1000, self._loop.time())
        self._cost.add(len(batch), taken * 1000)
        self._on_batch(
            BatchRun(
                self.spec.version,
                batch[0].request.trial,
                rows,
                taken,
                inputs,
                outputs,
                [started - waiting.since for waiting in batch],
                [waiting.request.traceparent for waiting in batch if waiting.request.traceparent],
                self.spec.identity,
            )
        )
        begin = 0
        for waiting in batch:
            end = begin + waiting.rows
            self._serve_rows(waiting, outputs, begin, end, rows)
            begin = end

    def _leave_some(
        self, batch: list[_Waiting[Token]], inputs: Tensors, outside: OutsideDomain, started: float
    ) -> None:
        """Answer the requests of which the compiled form is sure in every row, and leave the others to the model."""
        sure: list[_Waiting[Token]] = []
        chosen: list[int] = []
        begin = 0
        for waiting in batch:
            end = begin + waiting.rows
            if outside.inside[begin:end].all():
                sure.append(waiting)
                chosen += range(begin, end)
            elif self._beyond is not None:
                self._beyond._wait(waiting)
            else:
                self._serve(waiting, ModelFailed("the compiled form is not sure, and the model is not at hand"), 0)
            begin = end
        if sure:
            rows = np.array(chosen)
            self._hand_out(sure, _rows_of(inputs, rows), _rows_of(outside.outputs, rows), started)

    def _without_the_late(self, batch: list[_Waiting[Token]]) -> list[_Waiting[Token]]:
        now = time.time()
        late = [waiting for waiting in batch if waiting.request.deadline <= now]
        for waiting in late:
            self._serve(waiting, DeadlineExceeded(), 0)
        return [waiting for waiting in batch if waiting.request.deadline > now] if late else batch

    def _serve_rows(self, waiting: _Waiting[Token], outputs: Tensors, begin: int, end: int, rows: int) -> None:
        request = waiting.request
        try:
            body, content_type = waiting.question.write(request.model, self.spec.version, outputs, begin, end)
        except ModelMeshError as error:
            self._serve(waiting, error, rows)
        except Exception as error:  # an output that JSON has no form for
            self._serve(waiting, ModelFailed(f"the model's outputs cannot be written as JSON: {error}"), rows)
        else:
            spec = self.spec
            self._on_result(
                RequestResult(request, waiting.token, body, spec.version, rows, content_type, identity=spec.identity)
            )

    def _serve(self, waiting: _Waiting[Token], outcome: ModelMeshError, rows: int) -> None:
        spec = self.spec
        self._on_result(
            RequestResult(waiting.request, waiting.token, outcome, spec.version, rows, identity=spec.identity)
        )


def _rows_of(tensors: Tensors, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Tensors:
    return {name: array[rows] for name, array in tensors.items()}


def _checked(outputs: Tensors, rows: int) -> Tensors:
    """Return the outputs. Raises ModelFailed unless each has a row for each row asked: else callers would get others'."""
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            found = len(array) if array.ndim else "no"
            raise ModelFailed(f"the model gave {found} rows of {name} for {rows}: one row in, one row out")
    return outputs
