"""Asks stable for a share of a canary's requests that the candidate has answered, and compares the two answers.

A mirror is one row of a request. It is kept after the candidate's answer has gone out, and stable is asked while the worker has
no request in hand, one row at a time, for at most PROCESSOR_SHARE of the time. Stable's model is the one that serves: a request
that arrives meanwhile waits for at most that row. What does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ..models.values.bodies import parse_request
from ..models.values.tensors import Tensors
from ..schemas.errors import ModelFailed, ModelMeshError
from ..schemas.payloads.observations import PairCounts
from ..schemas.payloads.releases import Release
from ..schemas.records import PredictionRequest
from ..schemas.value_class import value_class
from ..telemetry.bookkeeping import Bookkeeping
from .answer_pairs import add_pair
from .versions.results import BatchRun
from .watched_rows import bytes_of

if TYPE_CHECKING:
    from .versions.call import VersionCall
    from .versions.runner import VersionRunner

    Server: TypeAlias = VersionRunner[VersionCall]

# The limits of what waits: pairs, bytes of all (request bodies and the candidate's answers), and of one.
MAX_WAITING, MAX_BYTES, MAX_PAIR_BYTES = 64, 1024 * 1024, 64 * 1024
PROCESSOR_SHARE = 0.05
# Seconds between two looks whether the worker is idle.
RETRY_SECONDS = 0.02
# Seconds without mirrors after stable failed on one: its process may have died of it.
PAUSE_SECONDS = 60.0


@value_class
class _Mirrored:
    """A request, and the candidate's answer to the row of that number. `alone`: a row's answer depends on the other rows."""

    request: PredictionRequest
    row: int
    answer: Tensors
    size: int
    alone: bool


class Mirror:
    """The mirrors of one model in this worker. `counts_of` returns the counts of a trial, to be added to."""

    def __init__(
        self,
        counts_of: Callable[[int], PairCounts],
        stable: Callable[[], Server | None],
        *,
        is_busy: Callable[[], bool],
        keep_books: Bookkeeping,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` returns random numbers from 0 to below 1."""
        self._counts_of = counts_of
        self._stable = stable
        self._is_busy = is_busy
        self._keep_books = keep_books
        self._draw = draw
        self._trial = 0
        self._candidate = ""  # its identity; empty: nothing is mirrored
        self._share = self._tolerance = 0.0
        self._alone = False
        self._waiting: deque[_Mirrored] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def follow(self, release: Release) -> None:
        """Mirror the release's canary; nothing if there is none."""
        canary = release.running_canary
        if release.trial != self._trial or canary is None:
            self.stop()
            self._not_before = 0.0
        self._trial, self._candidate = release.trial, ""
        if canary is not None and canary.plan.rules.mirror_share > 0:
            rules, versions = canary.plan.rules, (release.versions[canary.candidate], release.versions[canary.stable])
            self._candidate = versions[0].identity
            self._share, self._tolerance = rules.mirror_share, rules.answer_tolerance
            self._alone = any(spec.alone for spec in versions)

    def watches(self, identity: str) -> bool:
        """Whether the version is a canary's candidate, some of whose requests are mirrored."""
        return bool(identity) and identity == self._candidate

    def take(self, batch: BatchRun) -> None:
        """Choose from a batch that the candidate has answered."""
        if not self.watches(batch.identity):
            return  # the canary has just ended
        begin = 0
        for request, rows in batch.requests:
            # Requests for a pinned version have no trial, and a retry is the same request again.
            if request.trial == self._trial and request.attempt == 1 and self._draw() < self._share:
                self._keep(request, int(self._draw() * rows), begin, batch.outputs)
            begin += rows

    def stop(self) -> None:
        """Drop what waits, and compare nothing more."""
        self._candidate = ""
        self._waiting.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()

    def _keep(self, request: PredictionRequest, row: int, begin: int, outputs: Tensors) -> None:
        answer = {name: array[begin + row : begin + row + 1] for name, array in outputs.items()}
        size = len(request.body) + sum(map(bytes_of, answer.values()))
        if size > MAX_PAIR_BYTES or self._bytes + size > MAX_BYTES or len(self._waiting) >= MAX_WAITING:
            self._counts_of(self._trial).dropped += 1
            return
        # Copies: a view would keep the whole batch alive.
        answer = {name: array.copy() for name, array in answer.items()}
        self._waiting.append(_Mirrored(request, row, answer, size, self._alone))
        self._bytes += size
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None and self._task is None and self._waiting:
            loop = asyncio.get_running_loop()
            wait = max(RETRY_SECONDS, self._not_before - loop.time())
            self._timer = loop.call_later(wait, self._pump)

    def _pump(self) -> None:
        """Ask stable for the next if the worker is idle, else look again later."""
        self._timer = None
        server = self._stable()
        if self._waiting and server is not None and server.idle and not self._is_busy():
            mirrored = self._waiting.popleft()
            self._bytes -= mirrored.size
            self._task = asyncio.get_running_loop().create_task(self._compare(mirrored, server))
        else:
            self._schedule()

    async def _compare(self, mirrored: _Mirrored, server: Server) -> None:
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), 0.0
        trial = mirrored.request.trial
        try:
            answer = await _answer_of(server, mirrored)
            add_pair(self._counts_of(trial), answer, mirrored.answer, self._tolerance, mirrored.request.routing_key)
        except ModelMeshError as error:
            self._counts_of(trial).unanswered += 1
            pause = PAUSE_SECONDS if isinstance(error, ModelFailed) else 0.0
        except Exception as error:  # a comparison that fails must not end the others
            self._keep_books.failed("mirror", error)
        finally:
            now = loop.time()
            self._not_before = now + max(pause, (now - began) * (1 / PROCESSOR_SHARE - 1))
            if self._task is asyncio.current_task():
                self._task = None
                self._schedule()


async def _answer_of(server: Server, mirrored: _Mirrored) -> Tensors:
    """Return stable's answer to the row. Raises ModelMeshError if it has none."""
    request, row = mirrored.request, mirrored.row
    # By stable's own signature: its numbers may have another width.
    parsed = parse_request(request.body, request.content_type, server.spec.signature)
    first, end = (0, parsed.rows) if mirrored.alone else (row, row + 1)
    outputs = await server.predict_uncounted({name: array[first:end] for name, array in parsed.tensors.items()})
    return {name: array[row - first : row - first + 1] for name, array in outputs.items()}
