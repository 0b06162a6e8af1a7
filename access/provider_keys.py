"""The published keys of an OpenID provider: fetched by one request at a time, without a thread, and not again at once.

Whoever sends junk names a key that nobody knows. So a key that is known waits for nothing; one that is not has the provider
asked, together with all who name such a key then, and at most every few seconds, whether it answers or not.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
import jwt
import structlog

from ..schemas.errors import Unauthorized, Unavailable

log = structlog.get_logger(__name__)
# Seconds for which what was fetched is good, after which the provider may be asked again, and for which it is waited for.
GOOD_FOR, PAUSE, PATIENCE = 3600.0, 5.0, aiohttp.ClientTimeout(total=5.0)
# A larger answer is refused.
LARGEST = 1024 * 1024


class ProviderKeys:
    """Keys by their id."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> jwt.PyJWK:
        """Return a key. Raises Unauthorized where the provider has none of that id, Unavailable where it cannot be asked."""
        if (key := self._known(key_id)) is not None:
            return key
        if self._fetching is None and time.monotonic() - self._asked_at >= PAUSE:
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching is not None:
            await asyncio.shield(self._fetching)  # a cancelled caller must not cancel it for the others
        if (key := self._known(key_id)) is not None:
            return key
        if self._failed:
            raise Unavailable("the token's issuer cannot be asked for its keys at the moment", retry_after=PAUSE)
        raise Unauthorized("the token is not valid: its issuer has no key of the id that it names")

    def _known(self, key_id: str) -> jwt.PyJWK | None:
        return self._keys.get(key_id) if time.monotonic() - self._fetched_at < GOOD_FOR else None

    async def _fetch(self) -> None:
        try:
            async with (
                aiohttp.ClientSession(timeout=PATIENCE, trust_env=True) as session,
                session.get(self._url) as answer,
            ):
                answer.raise_for_status()
                text = await answer.content.read(LARGEST + 1)
                while len(text) <= LARGEST and (more := await answer.content.read(LARGEST)):
                    text += more
            self._keys = _read(text)
            self._fetched_at, self._failed = time.monotonic(), False
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, jwt.PyJWTError) as error:
            self._failed = True
            log.warning("jwks.unavailable", error=(str(error) or type(error).__name__)[:300])
        finally:
            self._asked_at, self._fetching = time.monotonic(), None


def _read(text: bytes) -> dict[str, jwt.PyJWK]:
    """Return the keys for signatures. Raises ValueError or PyJWTError for what is no list of keys."""
    if len(text) > LARGEST:
        raise ValueError(f"the list of keys has more than {LARGEST} bytes")
    found = jwt.PyJWKSet.from_json(text.decode()).keys
    return {key.key_id: key for key in found if key.key_id and key.public_key_use in ("sig", None)}
