"""Check JSON Web Tokens of an OpenID Connect provider: signature, audience, issuer, and the scopes in a claim."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any, get_args

import jwt
from cachetools import TTLCache

from ..schemas.errors import Unauthorized
from ..schemas.payloads.keys import Scope
from ..schemas.settings.access import AccessSettings
from .caller import Caller
from .provider_keys import ProviderKeys

# Asymmetric signatures only: "none" and shared secrets are refused.
ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA", "PS256"]
# A verified token is cached; its expiry is checked each time.
TOKEN_CACHE_SECONDS, TOKEN_CACHE_SIZE = 30.0, 10_000
MAX_PER_MINUTE = 2**31


class JsonWebTokens:
    """Checks bearer tokens. The provider's keys are fetched when a token names an unknown key."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._keys = ProviderKeys(settings.jwt_jwks_url)
        self._known: TTLCache[str, tuple[Caller, float]] = TTLCache(TOKEN_CACHE_SIZE, TOKEN_CACHE_SECONDS)

    async def check(self, token: str) -> Caller:
        """Return the caller of a token. Raises Unauthorized, or Unavailable if the provider's keys cannot be fetched."""
        known = self._known.get(token)
        if known is not None and time.time() < known[1]:
            return known[0]
        try:
            key = await self._keys.find(_key_id(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,  # with its algorithm: a token signed by another algorithm is refused
                algorithms=ALGORITHMS,
                audience=self._settings.jwt_audience or None,
                issuer=self._settings.jwt_issuer or None,
                leeway=10,
                options={"require": ["exp", "sub"], "verify_aud": bool(self._settings.jwt_audience)},
            )
        except jwt.PyJWTError as error:
            raise Unauthorized(f"the token is not valid: {error}") from None
        found = self._caller(claims)
        self._known[token] = found, float(claims["exp"])
        return found

    def _caller(self, claims: dict[str, Any]) -> Caller:
        given = claims.get(self._settings.jwt_scope_claim, "")
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        scopes = frozenset(scope for scope in get_args(Scope) if f"{self._settings.jwt_scope_prefix}{scope}" in words)
        if not scopes:
            raise Unauthorized(
                f"the token's claim {self._settings.jwt_scope_claim!r} has none of the scopes predict, deploy, admin"
            )
        subject = str(claims["sub"])
        return Caller(
            name=subject[:128],
            scopes=scopes,
            key=f"token:{sha256(subject.encode()).hexdigest()[:32]}",
            limit=self._limit(claims),
            expires_at=float(claims["exp"]),
            known=True,
        )

    def _limit(self, claims: dict[str, Any]) -> int | None:
        """Return the limit of requests a minute of a token's subject. Raises Unauthorized for an invalid claim."""
        name = self._settings.jwt_rate_claim
        given = claims.get(name)
        if given is None:
            return self._settings.jwt_requests_per_minute
        if type(given) is not int or not 1 <= given <= MAX_PER_MINUTE:  # True is an int
            raise Unauthorized(f"the token's claim {name!r} (requests a minute) must be a whole number from 1 on")
        return given


def _key_id(token: str) -> str:
    """Return the id of the key that a token names. Raises PyJWTError, or Unauthorized if it names none."""
    header = jwt.get_unverified_header(token)
    key_id = header.get("kid")
    if header.get("alg") not in ALGORITHMS or not isinstance(key_id, str):
        raise Unauthorized(
            f"the token is not valid: it must name its key (kid) and be signed by one of {', '.join(ALGORITHMS)}"
        )
    return key_id
