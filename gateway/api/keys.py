"""The HTTP API for API keys. A key's secret is in the answer that makes it, and never again."""

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

# Seconds in which a gateway reads what it has just written.
PATIENCE = 10.0


class KeyRequest(BaseModel):
    """What somebody asks a key for. Times in days from now."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    scopes: tuple[Scope, ...] = Field(min_length=1)
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = Field(default=None, ge=1)
    days: float | None = Field(default=None, gt=0, le=3660, description="good for so long; null: until it is revoked")


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
        """Return what may be seen of a key."""
        return cls(state=key.state(time.time()), **key.model_dump(exclude={"digest", "revoked_at"}))


class NewKey(KeyDocument):
    """A key that has just been made; `key` is what its holder shows."""

    key: str


class KeyList(BaseModel):
    """The keys that the caller may see, oldest first."""

    keys: list[KeyDocument]


def _is_for(key: ApiKey, who: Caller) -> bool:
    """Whether a caller may see and revoke a key: one for some models sees those that are for no others."""
    return not who.models or (bool(key.models) and who.models.issuperset(key.models))


def _check_no_more(body: KeyRequest, who: Caller, now: float) -> None:
    """Raise Forbidden for a key that may do more, more often or for longer than the key that asks for it."""
    for scope in body.scopes:
        who.check_scope(scope)
    if who.models and not body.models:
        raise Forbidden(
            f"{who.name!r} is for some models: name those of them that the new key is for (one without is for all)",
            field="models",
        )
    for model in body.models:
        who.check_model(model)
    if who.limit is not None and (body.requests_per_minute is None or body.requests_per_minute > who.limit):
        raise Forbidden(
            f"{who.name!r} has {who.limit} requests a minute: give the new key as many at most",
            field="requests_per_minute",
        )
    if (
        not who.uses_token
        and who.expires_at is not None
        and (body.days is None or now + 86400 * body.days > who.expires_at)
    ):
        raise Forbidden(
            f"{who.name!r} is good for {(who.expires_at - now) / 86400:.3g} more days: give the new key as many at most",
            field="days",
        )


class KeyRoutes:
    """Keys live on the log: gateways know of them without a database."""

    def __init__(self, keys: KeysView, writer: KeyWriter) -> None:
        self._keys = keys
        self._writer = writer

    async def list_keys(self, request: web.Request) -> web.Response:
        """Return the keys that the caller may see."""
        who = caller.get()
        known = sorted((key for key in self._keys.keys.values() if _is_for(key, who)), key=lambda key: key.created_at)
        return answer(KeyList(keys=[KeyDocument.of(key) for key in known]))

    async def create(self, request: web.Request) -> web.Response:
        """Make a key."""
        body: KeyRequest = parse(KeyRequest, await read_json(request))
        now, who = time.time(), caller.get()
        _check_no_more(body, who, now)
        key, shown = make_key(
            body.name,
            body.scopes,
            now=now,
            models=body.models,
            requests_per_minute=body.requests_per_minute,
            expires_at=now + 86400 * body.days if body.days is not None else None,
            created_by=who.name,
        )
        await self._writer.write(key, actor=who.name, source=who.source)
        await self._until_known(key)
        return answer(NewKey(key=shown, **KeyDocument.of(key).model_dump()), 201)

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a key; it is refused from now on."""
        key, who = self._keys.keys.get(request.match_info["key_id"]), caller.get()
        if key is None or not _is_for(key, who):
            raise NotFound(f"there is no key {request.match_info['key_id'][:40]!r}", field="id")
        revoked = key.model_copy(update={"revoked_at": time.time()})
        await self._writer.write(revoked, actor=who.name, source=who.source)
        await self._until_known(revoked)
        return web.Response(status=204)

    routes = (
        Route("GET", "/keys", list_keys, "List the API keys, without their secrets", scope="admin", gives=KeyList),
        # A kept answer would keep the secret.
        Route("POST", "/keys", create, "Make an API key; its secret is in this answer alone", scope="admin", repeat="never",
              takes=KeyRequest, gives=NewKey, status=201, errors=(400, 422, 503)),
        Route("DELETE", "/keys/{key_id}", revoke, "Revoke an API key", scope="admin", repeat="never", status=204,
              errors=(404, 503)),
    )  # fmt: skip

    async def _until_known(self, key: ApiKey) -> None:
        """What was answered must hold here; other gateways read it as soon. Raises Unavailable where it does not come back."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self._keys.keys.get(key.id) != key:  # noqa: ASYNC110 - milliseconds, and once a key
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise Unavailable("the log has the key, and this gateway has not read it yet") from None
