"""Answers in Redis, shared by all routers. A Redis that is slow or dead costs milliseconds, and after a few of them nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Redis

from ..resilience.circuit_breaker import CircuitBreaker, State
from ..resilience.redis_rules import REDIS_DOWN, REDIS_RULES, no_redis_url
from .answer_store import AnswerKey, AnswerStore

log = structlog.get_logger(__name__)

# Answers that wait to be written; the oldest are forgotten, since a cache may forget.
MAX_PENDING_WRITES = 10_000
WRITES_AT_ONCE = 100


def open_redis(url: str) -> Redis:
    """Return a client, not connected yet. Raises SetupError when the URL is none of Redis'."""
    try:
        return Redis.from_url(url, socket_connect_timeout=1.0)
    except ValueError as error:
        raise no_redis_url(error) from None


class RedisAnswers(AnswerStore):
    """Lookups that come within one turn, or while one is under way, go together as one MGET.

    `patience` is how many seconds a lookup may take; `failed` is called for each that brought nothing because of Redis.
    """

    def __init__(self, redis: Redis, prefix: str, patience: float, failed: Callable[[], None]) -> None:
        self._redis = redis
        self._prefix = prefix
        self._patience = patience
        self._failed = failed
        self._lookups: list[tuple[str, Callable[[bytes | None], None]]] = []
        self._writes: deque[tuple[str, bytes, float]] = deque(maxlen=MAX_PENDING_WRITES)
        self._drops: list[str] = []
        self._asked = asyncio.Event()
        self._told = asyncio.Event()
        self._breaker = CircuitBreaker(REDIS_RULES, self._breaker_changed)

    def get(self, key: AnswerKey, then: Callable[[bytes | None], None]) -> None:
        """Call `then` within `patience`; at once while Redis is left alone."""
        if self._breaker.state(self._now()) == "open":
            self._failed()
            then(None)
            return
        self._lookups.append((self._name(key), then))
        self._asked.set()

    def put(self, key: AnswerKey, answer: bytes, ttl: float) -> None:
        """Write an answer soon."""
        self._writes.append((self._name(key), answer, ttl))
        self._told.set()

    def drop(self, model: str, version: str) -> None:
        """Forget all answers of a version soon."""
        self._drops.append(f"{self._prefix}:answer:{model}:{version}:*")
        self._told.set()

    async def run(self) -> None:
        """Look up and write until cancelled."""
        try:
            await asyncio.gather(self._look_up(), self._write())
        finally:
            await self._redis.aclose()

    async def _look_up(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            lookups, self._lookups = self._lookups, []
            found: list[Any] = [None] * len(lookups)
            if not self._breaker.allow(self._now()):
                self._failed()
            else:
                try:
                    async with asyncio.timeout(self._patience):
                        found = await self._redis.mget([name for name, _ in lookups])
                    self._breaker.record(True, self._now())
                except REDIS_DOWN:
                    self._breaker.record(False, self._now())
                    self._failed()
            for (_, then), answer in zip(lookups, found, strict=True):
                then(answer)

    async def _write(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            while self._drops or self._writes:
                if self._breaker.state(self._now()) != "closed":
                    # What is to be forgotten must be forgotten; what is to be kept need not.
                    self._writes.clear()
                    await asyncio.sleep(REDIS_RULES.recovery / 2)
                    if not self._drops:
                        continue
                try:
                    await self._write_some()
                except REDIS_DOWN:
                    self._breaker.record(False, self._now())
                    await asyncio.sleep(0.05)

    async def _write_some(self) -> None:
        if self._drops:
            async for name in self._redis.scan_iter(match=self._drops[0], count=1000):
                await self._redis.unlink(name)
            del self._drops[0]
            return
        some = [self._writes.popleft() for _ in range(min(len(self._writes), WRITES_AT_ONCE))]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name, answer, ttl in some:
                pipeline.set(name, answer, px=max(1, int(1000 * ttl)))
            await pipeline.execute()

    def _name(self, key: AnswerKey) -> str:
        return f"{self._prefix}:answer:{key.model}:{key.version}:{key.identity}:{key.inputs}"

    def _breaker_changed(self, state: State) -> None:
        log.warning("cache.redis", breaker=state)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
