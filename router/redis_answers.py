"""Answers in Redis, shared by all routers. A timeout and a circuit breaker bound the cost of a slow or dead Redis."""

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

# Answers that wait to be written; beyond the limit the oldest are dropped, as a cache may do.
MAX_PENDING_WRITES = 10_000
WRITE_BATCH = 100


def open_redis(url: str) -> Redis:
    """Return an unconnected client. Raises SetupError for an invalid URL."""
    try:
        return Redis.from_url(url, socket_connect_timeout=1.0)
    except ValueError as error:
        raise no_redis_url(error) from None


class RedisAnswers(AnswerStore):
    """Lookups of one turn of the event loop, or made while another is under way, share one MGET.

    `timeout` is how many seconds a lookup may take; `failed` is called after each that Redis did not answer.
    """

    def __init__(self, redis: Redis, prefix: str, timeout: float, failed: Callable[[], None]) -> None:
        self._redis = redis
        self._prefix = prefix
        self._timeout = timeout
        self._failed = failed
        self._lookups: list[tuple[str, Callable[[bytes | None], None]]] = []
        self._writes: deque[tuple[str, bytes, float]] = deque(maxlen=MAX_PENDING_WRITES)
        self._drops: list[str] = []
        self._lookup_pending = asyncio.Event()
        self._write_pending = asyncio.Event()
        self._breaker = CircuitBreaker(REDIS_RULES, self._breaker_changed)

    def get(self, key: AnswerKey, then: Callable[[bytes | None], None]) -> None:
        """Call `then` within `timeout`; immediately while the breaker is open."""
        if self._breaker.state(self._now()) == "open":
            self._failed()
            then(None)
            return
        self._lookups.append((self._name(key), then))
        self._lookup_pending.set()

    def put(self, key: AnswerKey, answer: bytes, ttl: float) -> None:
        """Queue an answer for writing."""
        self._writes.append((self._name(key), answer, ttl))
        self._write_pending.set()

    def drop(self, model: str, version: str) -> None:
        """Queue the deletion of all answers of a version."""
        self._drops.append(f"{self._prefix}:answer:{model}:{version}:*")
        self._write_pending.set()

    async def run(self) -> None:
        """Look up and write until cancelled."""
        try:
            await asyncio.gather(self._look_up(), self._write())
        finally:
            await self._redis.aclose()

    async def _look_up(self) -> None:
        while True:
            await self._lookup_pending.wait()
            self._lookup_pending.clear()
            lookups, self._lookups = self._lookups, []
            found: list[Any] = [None] * len(lookups)
            if not self._breaker.allow(self._now()):
                self._failed()
            else:
                try:
                    async with asyncio.timeout(self._timeout):
                        found = await self._redis.mget([name for name, _ in lookups])
                    self._breaker.record(True, self._now())
                except REDIS_DOWN:
                    self._breaker.record(False, self._now())
                    self._failed()
            for (_, then), answer in zip(lookups, found, strict=True):
                then(answer)

    async def _write(self) -> None:
        while True:
            await self._write_pending.wait()
            self._write_pending.clear()
            while self._drops or self._writes:
                if self._breaker.state(self._now()) != "closed":
                    # Deletions must happen eventually; writes are optional.
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
        some = [self._writes.popleft() for _ in range(min(len(self._writes), WRITE_BATCH))]
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
