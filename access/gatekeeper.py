"""Authenticate callers by API key or token, and apply their rate limits."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..schemas.errors import Unauthorized
from ..schemas.payloads.keys import ApiKey
from ..schemas.settings.access import AccessSettings
from .api_keys import check_key, is_api_key
from .caller import Caller
from .json_web_tokens import JsonWebTokens
from .rate_limiter import RateLimiter


class Gatekeeper:
    """Authenticates and rate-limits callers. With `auth` off every caller may do everything."""

    def __init__(self, settings: AccessSettings, find_key: Callable[[str], ApiKey | None]) -> None:
        self.open = settings.auth == "off"
        self._find_key = find_key
        self._tokens = JsonWebTokens(settings) if settings.jwt_jwks_url else None
        self._limiter = RateLimiter(settings.redis, settings.prefix)

    async def identify(self, authorization: str, api_key: str) -> Caller:
        """Return the caller for an `Authorization` or `X-API-Key` header. Raises Unauthorized."""
        kind, _, token = authorization.partition(" ")
        token = token.strip() if kind.lower() == "bearer" else api_key
        if not token:
            raise Unauthorized("this request needs an API key: send `Authorization: Bearer mm_...`")
        if self._tokens is not None and not is_api_key(token):
            return await self._tokens.check(token)
        key = check_key(token, self._find_key, time.time())
        return Caller(
            name=key.name,
            scopes=frozenset(key.scopes),
            models=frozenset(key.models),
            key=key.id,
            limit=key.requests_per_minute,
            expires_at=key.expires_at,
            known=True,
        )

    def invalid_reason(self, found: Caller) -> str | None:
        """Return why an authenticated caller's credentials are no longer valid (expired, revoked); None if they are."""
        if found.expires_at is not None and time.time() >= found.expires_at:
            return f"the {'token of' if found.uses_token else 'API key'} {found.name!r} has expired"
        if found.key and not found.uses_token:
            key = self._find_key(found.key)
            if key is None or key.revoked_at is not None:
                return f"the API key {found.name!r} was revoked"
        return None

    async def count(self, found: Caller, cost: int = 1) -> dict[str, str]:
        """Count `cost` requests; return the RateLimit headers, none without a limit. Raises RateLimited."""
        return {} if found.limit is None else (await self._limiter.take(found.key, found.limit, cost)).headers()
