"""Idempotency keys: a repeated request with the same `Idempotency-Key` gets the stored response and changes nothing.

Responses are stored in the database for a day, so any gateway can return them. Predictions change nothing and need no key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from ..access.caller import caller
from ..registry.storage.database import Base, IdempotencyRow, now
from ..schemas.errors import Conflict, InvalidInput
from ..schemas.names import REQUEST_ID
from .api.route_tools import require_database
from .idempotency_key import idempotency_key

HEADER = "Idempotency-Key"
RETENTION = timedelta(days=1)
# A request that has not finished after this long is considered lost, and its key is free again.
IN_PROGRESS_TIMEOUT = timedelta(minutes=15)
_ROWS = Base.metadata.tables[IdempotencyRow.__tablename__]


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The stored response to a request."""

    status: int
    content_type: str
    body: bytes


class Idempotency:
    """The stored responses, by caller and key."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def begin(self, key: str, fingerprint: str) -> StoredResponse | None:
        """Return the stored response, or None if this is the first request with the key.

        Raises InvalidInput if the key was used for another request, Conflict while the first request is in progress.
        """
        mine = (_ROWS.c.key == key) & (_ROWS.c.caller == caller.get().key)
        current_time = now()
        async with self._engine.begin() as connection:
            await connection.execute(delete(_ROWS).where(_ROWS.c.created_at < current_time - RETENTION))
            unfinished = _ROWS.c.status.is_(None) & (_ROWS.c.created_at < current_time - IN_PROGRESS_TIMEOUT)
            await connection.execute(delete(_ROWS).where(mine, unfinished))
            row = (await connection.execute(select(_ROWS).where(mine))).first()
        if row is None:
            values = {"key": key, "caller": caller.get().key, "fingerprint": fingerprint, "created_at": current_time}
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(_ROWS.insert().values(values))
            except IntegrityError:
                raise self._in_progress() from None
            return None
        if row.fingerprint != fingerprint:
            raise InvalidInput(f"this {HEADER} was used for another request: use a new one", field=HEADER)
        if row.status is None:
            raise self._in_progress()
        return StoredResponse(row.status, row.content_type, row.body)

    async def end(self, key: str, response: StoredResponse | None) -> None:
        """Store the response; None: nothing was changed, and the key is free again."""
        mine = (_ROWS.c.key == key) & (_ROWS.c.caller == caller.get().key)
        async with self._engine.begin() as connection:
            if response is None:
                await connection.execute(delete(_ROWS).where(mine))
            else:
                values = {"status": response.status, "content_type": response.content_type, "body": response.body}
                await connection.execute(update(_ROWS).where(mine).values(values))

    def _in_progress(self) -> Conflict:
        return Conflict(f"the first request with this {HEADER} is still in progress: try again later", field=HEADER)


def idempotency_middleware(store: Idempotency, takes_key: Callable[[web.Request], bool]) -> Middleware:
    """Return the middleware, which must run after authentication.

    `takes_key` tells whether a request's route accepts the header.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        key = request.headers.get(HEADER)
        if key is None or not takes_key(request):
            return await handler(request)
        if not REQUEST_ID.fullmatch(key):
            raise InvalidInput(f"{HEADER} must be 1 to 128 letters, digits, '.', '_', ':' or '-'", field=HEADER)
        fingerprint = await _fingerprint(request)
        with require_database():
            earlier = await store.begin(key, fingerprint)
        if earlier is not None:
            headers = {"Idempotency-Replayed": "true"}
            return web.Response(
                status=earlier.status, body=earlier.body, content_type=earlier.content_type, headers=headers
            )
        stored = None
        token = idempotency_key.set(f"{key}\n{fingerprint}")
        try:
            response = await handler(request)
            if isinstance(response, web.Response) and response.status < 400:
                stored = StoredResponse(response.status, response.content_type, bytes(response.body or b""))  # type: ignore[arg-type]
            return response
        finally:
            idempotency_key.reset(token)
            # A refused request changed nothing and can be repeated with the same key. One without an answer may have; its
            # command then gets the answer of the first (`command_client`).
            with require_database():
                await store.end(key, stored)

    return check


async def _fingerprint(request: web.Request) -> str:
    """Return a digest that identifies a request. For an upload, which is streamed to disk, only its length counts."""
    parts = [request.method, request.path.removeprefix("/v1"), request.query_string]
    digest = hashlib.sha256("\n".join(parts).encode())
    if request.content_type.startswith("multipart/"):
        digest.update(str(request.content_length).encode())
    else:
        digest.update(await request.read())
    return digest.hexdigest()
