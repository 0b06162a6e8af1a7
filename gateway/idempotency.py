"""A change that is asked for again under the same `Idempotency-Key` is answered as the first time, and not made again.

The answer is kept for a day, in the database, so any gateway gives it. Predictions need none of this: they
change nothing, and may be asked for again.
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
from .api.route_tools import database_there

HEADER = "Idempotency-Key"
KEPT = timedelta(days=1)
# Whoever began a change and has not ended it after so long is gone.
LONGEST_CHANGE = timedelta(minutes=15)
_ROWS = Base.metadata.tables[IdempotencyRow.__tablename__]


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given."""

    status: int
    content_type: str
    body: bytes


class Idempotency:
    """The answers that were given under a key, each key belonging to one caller."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def begin(self, key: str, fingerprint: str) -> Kept | None:
        """Return the answer to give again, or None for the first to come with this key.

        Raises InvalidInput if the key was another request's, Conflict while the first is not done.
        """
        mine = (_ROWS.c.key == key) & (_ROWS.c.caller == caller.get().key)
        moment = now()
        async with self._engine.begin() as connection:
            await connection.execute(delete(_ROWS).where(_ROWS.c.created_at < moment - KEPT))
            unfinished = _ROWS.c.status.is_(None) & (_ROWS.c.created_at < moment - LONGEST_CHANGE)
            await connection.execute(delete(_ROWS).where(mine, unfinished))
            row = (await connection.execute(select(_ROWS).where(mine))).first()
        if row is None:
            values = {"key": key, "caller": caller.get().key, "fingerprint": fingerprint, "created_at": moment}
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(_ROWS.insert().values(values))
            except IntegrityError:
                raise self._in_progress() from None
            return None
        if row.fingerprint != fingerprint:
            raise InvalidInput(f"this {HEADER} belongs to another request: take a new one", field=HEADER)
        if row.status is None:
            raise self._in_progress()
        return Kept(row.status, row.content_type, row.body)

    async def end(self, key: str, kept: Kept | None) -> None:
        """Keep an answer; None: nothing was changed, and the key is free again."""
        mine = (_ROWS.c.key == key) & (_ROWS.c.caller == caller.get().key)
        async with self._engine.begin() as connection:
            if kept is None:
                await connection.execute(delete(_ROWS).where(mine))
            else:
                values = {"status": kept.status, "content_type": kept.content_type, "body": kept.body}
                await connection.execute(update(_ROWS).where(mine).values(values))

    def _in_progress(self) -> Conflict:
        return Conflict(f"the first request with this {HEADER} is not done yet: ask again in a moment", field=HEADER)


def idempotency_middleware(answers: Idempotency, takes_key: Callable[[web.Request], bool]) -> Middleware:
    """Return the middleware; it stands behind the one that says who the caller is.

    `takes_key` says whether a request's route knows the header.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        key = request.headers.get(HEADER)
        if key is None or not takes_key(request):
            return await handler(request)
        if not REQUEST_ID.fullmatch(key):
            raise InvalidInput(f"{HEADER} has 1 to 128 letters, digits, '.', '_', ':' or '-'", field=HEADER)
        fingerprint = await _fingerprint(request)
        with database_there():
            kept = await answers.begin(key, fingerprint)
        if kept is not None:
            headers = {"Idempotency-Replayed": "true"}
            return web.Response(status=kept.status, body=kept.body, content_type=kept.content_type, headers=headers)
        done = None
        try:
            response = await handler(request)
            if isinstance(response, web.Response) and response.status < 400:
                done = Kept(response.status, response.content_type, bytes(response.body or b""))  # type: ignore[arg-type]
            return response
        finally:
            # A refused change changed nothing, and may be tried again under the same key.
            with database_there():
                await answers.end(key, done)

    return check


async def _fingerprint(request: web.Request) -> str:
    """Return what makes it the same request; a file on its way to the disk is known by its length alone."""
    parts = [request.method, request.path.removeprefix("/v1"), request.query_string]
    whole = hashlib.sha256("\n".join(parts).encode())
    if request.content_type.startswith("multipart/"):
        whole.update(str(request.content_length).encode())
    else:
        whole.update(await request.read())
    return whole.hexdigest()
