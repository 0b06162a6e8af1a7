"""Fetch and cache the published keys (JWKS) of an OpenID provider.

An attacker can send tokens with made-up key ids. So a cached key never waits for a fetch, concurrent lookups of unknown keys
share one fetch, and fetches, failed ones included, are at least `MIN_REFETCH_SECONDS` apart.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
import jwt
import structlog

from ..schemas.errors import Unauthorized, Unavailable

log = structlog.get_logger(__name__)
CACHE_SECONDS, MIN_REFETCH_SECONDS, TIMEOUT = 3600.0, 5.0, aiohttp.ClientTimeout(total=5.0)
# A larger response is refused.
MAX_BYTES = 1024 * 1024


class ProviderKeys:
    """Keys by their id."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._attempted_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> jwt.PyJWK:
        """Return a key. Raises Unauthorized if the provider has no key of this id, Unavailable if it cannot be reached."""
        if (key := self._known(key_id)) is not None:
            return key
        if self._fetching is None and time.monotonic() - self._attempted_at >= MIN_REFETCH_SECONDS:
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching is not None:
            await asyncio.shield(self._fetching)  # a cancelled caller must not cancel it for the others
        if (key := self._known(key_id)) is not None:
            return key
        if self._failed:
            raise Unavailable(
                "the keys of the token's issuer cannot be fetched at the moment", retry_after=MIN_REFETCH_SECONDS
            )
        raise Unauthorized("the token is not valid: its issuer has no key with the id that it names")

    def _known(self, key_id: str) -> jwt.PyJWK | None:
        return self._keys.get(key_id) if time.monotonic() - self._fetched_at < CACHE_SECONDS else None

    async def _fetch(self) -> None:
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True) as session,
                session.get(self._url) as response,
            ):
                response.raise_for_status()
                text = await response.content.read(MAX_BYTES + 1)
                while len(text) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                    text += more
            self._keys = _read(text)
            self._fetched_at, self._failed = time.monotonic(), False
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, jwt.PyJWTError) as error:
            self._failed = True
            log.warning("jwks.unavailable", error=(str(error) or type(error).__name__)[:300])
        finally:
            self._attempted_at, self._fetching = time.monotonic(), None


def _read(text: bytes) -> dict[str, jwt.PyJWK]:
    """Return the signature keys by id. Raises ValueError or PyJWTError for an invalid key set."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"the list of keys has more than {MAX_BYTES} bytes")
    found = jwt.PyJWKSet.from_json(text.decode()).keys
    return {key.key_id: key for key in found if key.key_id and key.public_key_use in ("sig", None)}
