"""How a Redis that is slow or dead is treated by all who can do without it: after a few failures it is left alone a while."""

from __future__ import annotations

from redis.exceptions import RedisError

from ..schemas.errors import SetupError
from .circuit_breaker import BreakerRules

REDIS_RULES = BreakerRules(failures=0.5, requests=3, window=5.0, recovery=1.0, probes=1)
REDIS_DOWN = (RedisError, OSError, TimeoutError)


def no_redis_url(error: Exception) -> SetupError:
    """Return what is said of a URL that is none of Redis'."""
    return SetupError(f"MODELMESH_REDIS is not a Redis URL ({error}): write redis://host:6379/0")
