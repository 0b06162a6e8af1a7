"""A limit of requests a minute for each key, shared by all gateways if Redis is configured."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError

from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.redis_rules import REDIS_DOWN, REDIS_RULES, no_redis_url
from ..schemas.errors import RateLimited

log = structlog.get_logger(__name__)
REDIS_TIMEOUT = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's limit, and the seconds until it is full again."""

    limit: int
    left: int
    reset: int

    def headers(self) -> dict[str, str]:
        """Return the standard RateLimit headers."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.left),
            "RateLimit-Reset": str(self.reset),
        }


class RateLimiter:
    """A sliding window for each key. While Redis is down, each gateway counts alone and the total may exceed the limit."""

    def __init__(self, redis: str, prefix: str) -> None:
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._breaker = CircuitBreaker(REDIS_RULES, lambda state: log.warning("rate_limits.redis", breaker=state))
        if redis:
            try:
                storage = RedisStorage(f"async+{redis}", implementation="redispy", key_prefix=f"{prefix}:limit")
            except (ConfigurationError, ValueError) as error:
                raise no_redis_url(error) from None
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def take(self, key: str, limit: int, cost: int = 1) -> Allowance:
        """Count `cost` requests, all or none. Raises RateLimited with the seconds to wait."""
        item = RateLimitItemPerMinute(limit)
        now = asyncio.get_running_loop().time()
        if self._shared is not None and self._breaker.allow(now):
            try:
                async with asyncio.timeout(REDIS_TIMEOUT):
                    allowance = await self._count(self._shared, item, key, cost)
                self._breaker.record(True, asyncio.get_running_loop().time())
                return allowance
            except REDIS_DOWN:
                self._breaker.record(False, asyncio.get_running_loop().time())
        return await self._count(self._local, item, key, cost)

    async def _count(
        self, limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, key: str, cost: int
    ) -> Allowance:
        taken = await limiter.hit(item, key, cost=cost)
        stats = await limiter.get_window_stats(item, key)
        reset = max(1, round(stats.reset_time - time.time()))
        allowance = Allowance(item.amount, stats.remaining, reset)
        if not taken:
            what = f"{item.amount} requests a minute, where each row counts as one"
            raise RateLimited(
                f"{cost + 1} rows at once exceed the limit ({what}): send fewer, or ask for a higher limit"
                if cost > 1 and cost >= item.amount
                else f"more than {what}: wait {reset} s, or ask for a higher limit",
                retry_after=float(reset),
                headers=allowance.headers(),
            )
        return allowance
