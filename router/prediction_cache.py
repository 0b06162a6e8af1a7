"""The prediction cache: what was answered before is answered again from memory, and equal requests share one answer."""

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

# Seconds that a request waits for an equal one's answer, and how often that is looked at.
PATIENCE, LOOK_EVERY = 0.25, 0.05


@dataclass(slots=True, frozen=True)
class Pending:
    """A request that may be answered from the cache."""

    record: ConsumerRecord
    request: PredictionRequest
    delivery: Delivery
    key: AnswerKey | None = None  # None: it may not be


class PredictionCache:
    """`answered` gets a request and its answer, `missed` gets one that a worker must answer; each request goes to one."""

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
        self._flights: SingleFlight[AnswerKey, Pending] = SingleFlight(PATIENCE)
        self._store: AnswerStore

    def use(self, store: AnswerStore) -> None:
        """Keep the answers there."""
        self._store = store

    def failed(self) -> None:
        """Count a lookup that the store could not do."""
        self._events.labels("", "failed").inc()

    def ask(self, pending: Pending, key: AnswerKey) -> None:
        """Answer a request from the cache, let it wait for an equal one, or call it missed."""
        self._store.get(key, lambda answer: self._looked_up(pending, key, answer))

    def landed(self, key: AnswerKey, answer: bytes | None, ttl: float) -> None:
        """A worker has answered a request that was missed; None: with an error, or with another version's answer."""
        if answer is not None:
            self._store.put(key, answer, ttl)
            self._count(key, "stored")
        for pending in self._flights.land(key):
            if answer is not None:
                self._answered(pending, answer)
            else:
                self._missed(pending)

    def drop(self, model: str, version: str) -> None:
        """A version left the release: its answers are forgotten."""
        self._store.drop(model, version)

    async def run(self) -> None:
        """Let nobody wait too long, until cancelled."""
        storing = asyncio.create_task(self._store.run())
        try:
            while True:
                for pending in self._flights.overdue(asyncio.get_running_loop().time()):
                    self._missed(pending)
                await asyncio.sleep(LOOK_EVERY)
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
            # One that is sent again does not wait: the equal one before it may have been lost with it.
            self._count(key, "miss")
            self._missed(pending)

    def _count(self, key: AnswerKey, event: str) -> None:
        self._events.labels(key.model, event).inc()
