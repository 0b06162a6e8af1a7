"""The prediction cache: repeated requests are answered from a store, and equal requests in flight share one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry, Counter

from ..broker.kafka.delivery import Delivery
from ..schemas.records import PredictionRequest
from .answer_store import AnswerKey, AnswerStore
from .single_flight import SingleFlight

# Seconds: how long a request waits for an equal one's answer, and how often that is checked.
JOIN_TIMEOUT, CHECK_INTERVAL = 0.25, 0.05


@dataclass(slots=True, frozen=True)
class Pending:
    """A request that may be answered from the cache."""

    record: ConsumerRecord
    request: PredictionRequest
    delivery: Delivery
    key: AnswerKey | None = None  # None: not cacheable


class PredictionCache:
    """Calls `answered` with a request and its answer, or `missed` with a request that a worker must answer; never both."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        answered: Callable[[Pending, bytes], None],
        missed: Callable[[Pending], None],
    ) -> None:
        self._events = Counter(
            "cache_events",
            "What the prediction cache did: hit, miss, joined (waited for an equal request), stored, failed",
            ("model", "event"),
            registry=registry,
        )
        self._answered = answered
        self._missed = missed
        self._flights: SingleFlight[AnswerKey, Pending] = SingleFlight(JOIN_TIMEOUT)
        self._store: AnswerStore

    def use(self, store: AnswerStore) -> None:
        """Set the store. Must be called before `ask`."""
        self._store = store

    def failed(self) -> None:
        """Count a failed lookup."""
        self._events.labels("", "failed").inc()

    def ask(self, pending: Pending, key: AnswerKey) -> None:
        """Answer a request from the cache, let it wait for an equal one, or report a miss."""
        self._store.get(key, lambda answer: self._looked_up(pending, key, answer))

    def complete(self, key: AnswerKey, answer: bytes | None, ttl: float) -> None:
        """Store a worker's answer and give it to the requests that wait. None: an error, or another version's answer."""
        if answer is not None:
            self._store.put(key, answer, ttl)
            self._count(key, "stored")
        for pending in self._flights.complete(key):
            if answer is not None:
                self._answered(pending, answer)
            else:
                self._missed(pending)

    def drop(self, model: str, version: str) -> None:
        """Drop the answers of a version that left the release."""
        self._store.drop(model, version)

    async def run(self) -> None:
        """Expire waiting requests until cancelled."""
        storing = asyncio.create_task(self._store.run())
        try:
            while True:
                for pending in self._flights.overdue(asyncio.get_running_loop().time()):
                    self._missed(pending)
                await asyncio.sleep(CHECK_INTERVAL)
        finally:
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)

    def _looked_up(self, pending: Pending, key: AnswerKey, answer: bytes | None) -> None:
        now = asyncio.get_running_loop().time()
        if answer is not None:
            self._count(key, "hit")
            self._answered(pending, answer)
        elif pending.request.attempt == 1 and not self._flights.join(key, pending, now):
            self._count(key, "joined")
        else:
            # A retry does not wait: the request in flight may have been lost.
            self._count(key, "miss")
            self._missed(pending)

    def _count(self, key: AnswerKey, event: str) -> None:
        self._events.labels(key.model, event).inc()
