"""Make and check API keys: a token is `mm_<id>_<secret>`, and only a hash of the secret is stored.

A secret has 256 random bits, so one round of SHA-256 protects it as well as a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from ..schemas.errors import Unauthorized
from ..schemas.payloads.keys import ApiKey, Scope

_TOKEN = re.compile(r"mm_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


def make_key(
    name: str,
    scopes: tuple[Scope, ...],
    *,
    now: float,
    models: tuple[str, ...] = (),
    requests_per_minute: int | None = None,
    expires_at: float | None = None,
    created_by: str = "",
) -> tuple[ApiKey, str]:
    """Return the key and its token, which is not stored."""
    identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ApiKey(
        id=identity,
        name=name,
        digest=_digest(secret),
        scopes=scopes,
        models=models,
        requests_per_minute=requests_per_minute,
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
    )
    return key, f"mm_{identity}_{secret}"


def is_api_key(token: str) -> bool:
    """Whether a token has the form of an API key, valid or not."""
    return token.startswith("mm_")


def check_key(token: str, find: Callable[[str], ApiKey | None], now: float) -> ApiKey:
    """Return the key of a token. Raises Unauthorized, which does not reveal whether the id or the secret was wrong."""
    match = _TOKEN.fullmatch(token)
    key = find(match[1]) if match is not None else None
    # Compared even if there is no such key, to prevent timing attacks.
    matches = hmac.compare_digest(_digest(match[2] if match else ""), key.digest if key is not None else "0" * 64)
    if key is None or not matches:
        raise Unauthorized("this API key is not known: check it, or ask for a new one")
    state = key.state(now)
    if state != "valid":
        raise Unauthorized(f"the API key {key.name!r} is {state}: ask for a new one (`modelmesh keys create`)")
    return key


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
