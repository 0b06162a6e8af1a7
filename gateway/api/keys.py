"""The HTTP API for API keys. Only the response that creates a key has its secret."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from ...access.api_keys import make_key
from ...access.caller import Caller, caller
from ...broker.views.keys import KeysView
from ...schemas.errors import Forbidden, NotFound, Unavailable
from ...schemas.payloads.keys import ApiKey, Scope
from ..key_writer import KeyWriter
from ..route import Route
from .route_tools import answer, read_json
from .upload import parse

# Seconds within which a gateway must read back a key that it has written.
READ_BACK_TIMEOUT = 10.0


class KeyRequest(BaseModel):
    """A request for an API key."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    scopes: tuple[Scope, ...] = Field(min_length=1)
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = Field(default=None, ge=1)
    days: float | None = Field(
        default=None, gt=0, le=3660, description="days until it expires; null: it does not expire"
    )


class KeyDocument(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    requests_per_minute: int | None
    created_at: float
    created_by: str
    expires_at: float | None
    state: Literal["valid", "expired", "revoked"]

    @classmethod
    def of(cls, key: ApiKey) -> KeyDocument:
        """Return a key without its digest."""
        return cls(state=key.state(time.time()), **key.model_dump(exclude={"digest", "revoked_at"}))


class NewKey(KeyDocument):
    """A new key; `key` is the token that its holder sends."""

    key: str


class KeyList(BaseModel):
    """The keys that the caller may see, oldest first."""

    keys: list[KeyDocument]


def _is_visible_to(key: ApiKey, who: Caller) -> bool:
    """Whether a caller may see and revoke a key: a caller restricted to models, only if the key has no other models."""
    return not who.models or (bool(key.models) and who.models.issuperset(key.models))


def _check_not_broader(body: KeyRequest, who: Caller, now: float) -> None:
    """Raise Forbidden for a key with more scopes or models, a higher limit or a later expiry than the caller has."""
    for scope in body.scopes:
        who.check_scope(scope)
    if who.models and not body.models:
        raise Forbidden(
            f"{who.name!r} is restricted to models: name models for the new key too (without them it may use all)",
            field="models",
        )
    for model in body.models:
        who.check_model(model)
    if who.limit is not None and (body.requests_per_minute is None or body.requests_per_minute > who.limit):
        raise Forbidden(
            f"{who.name!r} has {who.limit} requests a minute: the new key may have at most as many",
            field="requests_per_minute",
        )
    if (
        not who.uses_token
        and who.expires_at is not None
        and (body.days is None or now + 86400 * body.days > who.expires_at)
    ):
        raise Forbidden(
            f"{who.name!r} expires in {(who.expires_at - now) / 86400:.3g} days: the new key may last at most as long",
            field="days",
        )


class KeyRoutes:
    """Keys are stored on the log, so gateways need no database to check them."""

    def __init__(self, keys: KeysView, writer: KeyWriter) -> None:
        self._keys = keys
        self._writer = writer

    async def list_keys(self, request: web.Request) -> web.Response:
        """Return the keys that the caller may see."""
        who = caller.get()
        known = sorted(
            (key for key in self._keys.keys.values() if _is_visible_to(key, who)), key=lambda key: key.created_at
        )
        return answer(KeyList(keys=[KeyDocument.of(key) for key in known]))

    async def create(self, request: web.Request) -> web.Response:
        """Create a key."""
        body: KeyRequest = parse(KeyRequest, await read_json(request))
        now, who = time.time(), caller.get()
        _check_not_broader(body, who, now)
        key, token = make_key(
            body.name,
            body.scopes,
            now=now,
            models=body.models,
            requests_per_minute=body.requests_per_minute,
            expires_at=now + 86400 * body.days if body.days is not None else None,
            created_by=who.name,
        )
        await self._writer.write(key, actor=who.name, source=who.source)
        await self._wait_until_known(key)
        return answer(NewKey(key=token, **KeyDocument.of(key).model_dump()), 201)

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a key."""
        key, who = self._keys.keys.get(request.match_info["key_id"]), caller.get()
        if key is None or not _is_visible_to(key, who):
            raise NotFound(f"there is no key {request.match_info['key_id'][:40]!r}", field="id")
        revoked = key.model_copy(update={"revoked_at": time.time()})
        await self._writer.write(revoked, actor=who.name, source=who.source)
        await self._wait_until_known(revoked)
        return web.Response(status=204)

    routes = (
        Route("GET", "/keys", list_keys, "List the API keys, without their secrets", scope="admin", gives=KeyList),
        # Not repeatable: a stored response would contain the secret.
        Route("POST", "/keys", create, "Create an API key; only this response has its secret", scope="admin", repeat="never",
              takes=KeyRequest, gives=NewKey, status=201, errors=(400, 422, 503)),
        Route("DELETE", "/keys/{key_id}", revoke, "Revoke an API key", scope="admin", repeat="never", status=204,
              errors=(404, 503)),
    )  # fmt: skip

    async def _wait_until_known(self, key: ApiKey) -> None:
        """Wait until this gateway has read the key from the log. Raises Unavailable after a timeout."""
        try:
            async with asyncio.timeout(READ_BACK_TIMEOUT):
                while self._keys.keys.get(key.id) != key:  # noqa: ASYNC110 - milliseconds, and once a key
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise Unavailable("the key is on the log, but this gateway has not read it yet") from None
