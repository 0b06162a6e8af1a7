"""The circuit breaker for callers that work without Redis when it is slow or down."""

from __future__ import annotations

from redis.exceptions import RedisError

from ..schemas.errors import SetupError
from .circuit_breaker import BreakerRules

REDIS_RULES = BreakerRules(failures=0.5, requests=3, window=5.0, recovery=1.0, probes=1)
REDIS_DOWN = (RedisError, OSError, TimeoutError)


def no_redis_url(error: Exception) -> SetupError:
    """Return the error for a URL that is not a Redis URL."""
    return SetupError(f"MODELMESH_REDIS is not a Redis URL ({error}): write redis://host:6379/0")
