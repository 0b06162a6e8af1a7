"""Serves one version: requests wait in a batch queue, batches run off the event loop, each request gets its own answer.

The runner of a compiled form has a second runner, `original`, for the model that it was compiled from. That one takes the
requests outside the form's domain, and all requests once the two were seen to differ.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic

import numpy as np

from ...models.compiled.domain import OutsideDomain
from ...models.values.bodies import ParsedRequest, parse_request
from ...models.values.tensors import Tensors, row_bytes, shape_key, stack
from ...resilience.batch_cost import BatchCost
from ...resilience.peak_ewma import PeakEwma
from ...schemas.errors import DeadlineExceeded, ModelFailed, ModelMeshError, ModelRefusedInput
from ...schemas.payloads.releases import VersionSpec
from ...schemas.records import PredictionRequest
from ...schemas.value_class import value_class
from .batching import BatchQueue
from .compiled_watch import CompiledWatch
from .execution import LoadedModel
from .original_model import OriginalModel
from .results import BatchRun, RequestResult, Token
from .rows import checked, rows_of
from .uncounted import predict_uncounted

# Seconds: how fast answers change the estimated service time, and how fast it fades without answers.
SERVICE_DECAY, SERVICE_FADE = 1.0, 30.0


@value_class
class _Waiting(Generic[Token]):
    request: PredictionRequest
    token: Token
    parsed: ParsedRequest
    since: float

    @property
    def rows(self) -> int:
        return self.parsed.rows


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
        original: VersionRunner[Token] | None = None,
    ) -> None:
        self.spec = spec
        self._loaded = loaded
        # If answers depend on batch mates, each request is a batch of its own.
        batching = spec.batching.model_copy(update={"max_batch_size": 1}) if spec.alone else spec.batching
        self._queue: BatchQueue[_Waiting[Token]] = BatchQueue(batching, loaded.slots, max_batch_bytes)
        self._original = original
        self._use_original = False
        self.watch: CompiledWatch | None = None
        self._on_result = on_result
        self._on_batch = on_batch
        self._running = 0
        self._rows_running = 0
        self._started: list[float] = []  # start times of the running batches
        self._timer: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._service = PeakEwma(SERVICE_DECAY, SERVICE_FADE)
        self._cost = BatchCost()
        self._loaded_at = self._loop.time()

    @property
    def queued(self) -> int:
        """Number of requests that wait for a batch."""
        return len(self._queue) + (self._original.queued if self._original is not None else 0)

    @property
    def in_service(self) -> int:
        """Number of rows in the model now."""
        return self._rows_running + (self._original.in_service if self._original is not None else 0)

    @property
    def service_ms(self) -> float:
        """Recent time of a batch in the model, in ms; at least the elapsed time of a running batch."""
        now = self._loop.time()
        running = max((now - started for started in self._started), default=0.0)
        return max(self._service.read(now), 1000 * running)

    @property
    def batch_requests(self) -> float:
        """Recent average of requests in a batch."""
        return self._cost.mean_size

    @property
    def request_ms(self) -> float:
        """Time per request in full batches, in ms."""
        return self._cost.full_batch(self.spec.batching.max_batch_size)

    @property
    def age(self) -> float:
        """Seconds since the version was loaded."""
        return self._loop.time() - self._loaded_at

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._queue and not self._running and (self._original is None or self._original.idle)

    def submit(self, request: PredictionRequest, token: Token) -> None:
        """Parse the request and queue it for a batch; a malformed one is answered immediately."""
        try:
            parsed = parse_request(request.body, request.content_type, self.spec.signature, request.request_id)
        except ModelMeshError as error:
            self._on_result(RequestResult(request, token, error, self.spec.version, 0, identity=self.spec.identity))
            return
        waiting = _Waiting(request, token, parsed, self._loop.time())
        if self._use_original and self._original is not None:
            self._original._wait(waiting)
        else:
            self._wait(waiting)

    def _wait(self, waiting: _Waiting[Token]) -> None:
        parsed, interactive = waiting.parsed, waiting.request.priority == "interactive"
        self._queue.put(
            waiting,
            parsed.rows,
            shape_key(parsed.tensors),
            waiting.since,
            interactive=interactive,
            row_bytes=row_bytes(parsed.tensors, parsed.rows),
        )
        if self._timer is None:
            # At the end of this turn of the loop, so that records that were fetched together share a batch.
            self._timer = self._loop.call_soon(self._dispatch)

    async def predict_uncounted(self, inputs: Tensors) -> Tensors:
        """Answer rows past the queue, for a comparison. Raises ModelRefusedInput or ModelFailed."""
        original = self._original._loaded if self._original is not None else None
        return await predict_uncounted(self._loaded, original, inputs, use_original=self._use_original)

    def use_original(self) -> None:
        """Let the original model answer from now on: the compiled form was seen to differ."""
        self._use_original = True

    def close(self) -> None:
        """Release the model."""
        if self.watch is not None:
            self.watch.stop()
        if self._original is not None:
            self._original.close()
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
        batch = self._drop_expired(batch)
        if not batch:
            return
        rows = sum(waiting.rows for waiting in batch)
        inputs = stack([waiting.parsed.tensors for waiting in batch])
        try:
            outputs = checked(await self._loaded.predict(inputs), rows)
        except OutsideDomain as outside:
            self._split_by_domain(batch, inputs, outside, started)
            return
        except (ModelFailed, ModelRefusedInput) as error:
            if len(batch) == 1:
                self._serve(batch[0], error, rows)
                return
            # One row may have failed the whole batch: run each request on its own.
            for waiting in batch:
                await self._answer_batch([waiting], self._loop.time())
            return
        self._answer_each(batch, inputs, outputs, started)
        if self.watch is not None:
            self.watch.batch_done(inputs, outputs, self._loop.time())

    def _answer_each(self, batch: list[_Waiting[Token]], inputs: Tensors, outputs: Tensors, started: float) -> None:
        """Answer each request with its rows of the outputs."""
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
                [(waiting.request, waiting.rows) for waiting in batch],
            )
        )
        begin = 0
        for waiting in batch:
            end = begin + waiting.rows
            self._serve_rows(waiting, outputs, begin, end, rows)
            begin = end

    def _split_by_domain(
        self, batch: list[_Waiting[Token]], inputs: Tensors, outside: OutsideDomain, started: float
    ) -> None:
        """Answer the requests whose rows are all inside the domain, and pass the others to the original model."""
        inside: list[_Waiting[Token]] = []
        chosen: list[int] = []
        begin = 0
        for waiting in batch:
            end = begin + waiting.rows
            if outside.inside[begin:end].all():
                inside.append(waiting)
                chosen += range(begin, end)
            elif self._original is not None:
                self._original._wait(waiting)
            else:
                self._serve(
                    waiting,
                    ModelFailed("outside the compiled form's domain, and there is no original"),
                    0,
                )
            begin = end
        if inside:
            rows = np.array(chosen)
            self._answer_each(inside, rows_of(inputs, rows), rows_of(outside.outputs, rows), started)

    def _drop_expired(self, batch: list[_Waiting[Token]]) -> list[_Waiting[Token]]:
        now = time.time()
        late = [waiting for waiting in batch if waiting.request.deadline <= now]
        for waiting in late:
            self._serve(waiting, DeadlineExceeded(), 0)
        return [waiting for waiting in batch if waiting.request.deadline > now] if late else batch

    def _serve_rows(self, waiting: _Waiting[Token], outputs: Tensors, begin: int, end: int, rows: int) -> None:
        request = waiting.request
        try:
            body, content_type = waiting.parsed.write(request.model, self.spec.version, outputs, begin, end)
        except ModelMeshError as error:
            self._serve(waiting, error, rows)
        except Exception as error:  # an output that JSON cannot represent
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
