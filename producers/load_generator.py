"""Generates load: many predictions, at a given concurrency or rate, and a report of them."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..schemas.errors import ModelMeshError

# Sends request number n; returns the rows of its batch. Raises ModelMeshError.
Ask: TypeAlias = Callable[[int], Awaitable[int]]


@dataclass
class LoadReport:
    """The results of a load, while it runs and after. Latencies are in seconds, of answered requests."""

    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    batch_rows: int = 0
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        """Number of requests that were answered with a prediction."""
        return len(self.latencies)

    def summary(self) -> dict[str, Any]:
        """Return counts, rate (answers/s), latencies in milliseconds and the mean batch size per answer."""
        ordered = sorted(self.latencies)
        return {
            "sent": self.sent,
            "answered": self.answered,
            "errors": dict(self.errors),
            "seconds": round(self.seconds, 3),
            "rate": round(self.answered / self.seconds, 1) if self.seconds else 0.0,
            **{f"p{rank:g}_ms": round(1000 * percentile(ordered, rank), 3) for rank in (50, 90, 99, 99.9, 100)},
            "mean_batch": round(self.batch_rows / self.answered, 1) if self.answered else 0.0,
        }


def percentile(ordered: list[float], rank: float) -> float:
    """Return the `rank` percentile of sorted values by the nearest-rank method; 0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * rank / 100) - 1)]


class LoadGenerator:
    """Runs one load; `report` can be read meanwhile."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._stopped = False
        self.report = LoadReport()

    def stop(self) -> None:
        """Send no more; the load returns when the requests in flight are answered."""
        self._stopped = True

    async def in_flight(self, count: int, *, requests: int | None = None, seconds: float | None = None) -> LoadReport:
        """Keep `count` requests in flight until `requests` were sent or `seconds` have passed (a closed loop)."""
        began = time.perf_counter()
        limit = math.inf if requests is None else requests
        end = math.inf if seconds is None else began + seconds

        async def send_in_turn() -> None:
            while not self._stopped and self.report.sent < limit and time.perf_counter() < end:
                await self._one(time.perf_counter())

        await asyncio.gather(*(send_in_turn() for _ in range(count)))
        self.report.seconds = time.perf_counter() - began
        return self.report

    async def at_rate(self, rate: float, *, seconds: float) -> LoadReport:
        """Send `rate` requests a second regardless of the answers (an open loop).

        Latencies count from the time at which a request was due, so that a stall affects all requests due meanwhile (no
        coordinated omission).
        """
        began = time.perf_counter()
        total = round(rate * seconds)
        running: set[asyncio.Task[None]] = set()
        while not self._stopped and self.report.sent < total:
            due = began + self.report.sent / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
                continue
            task = asyncio.create_task(self._one(due))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(0)
        await asyncio.gather(*running)
        self.report.seconds = time.perf_counter() - began
        return self.report

    async def _one(self, due: float) -> None:
        number = self.report.sent
        self.report.sent += 1
        try:
            rows = await self._ask(number)
        except ModelMeshError as error:
            self.report.errors[error.code] += 1
        else:
            self.report.batch_rows += rows
            self.report.latencies.append(time.perf_counter() - due)
