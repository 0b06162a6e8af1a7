"""Helpers of the API routes: responses, JSON bodies, paging, and a clear error when the database is unavailable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel
from sqlalchemy.exc import InterfaceError, OperationalError

from ...schemas.errors import InvalidInput, MalformedRequest, Unavailable
from ...schemas.trial_id import TrialId, model_and_trial
from ...telemetry.http import json_response

log = structlog.get_logger(__name__)
# The query parameters that `paging` reads.
PAGING = ("page", "per_page")


@contextlib.contextmanager
def require_database() -> Iterator[None]:
    """Raise Unavailable if the block cannot reach the database."""
    try:
        yield
    except (OperationalError, InterfaceError, OSError) as error:
        log.warning("database.unavailable", error=str(error)[:300])
        raise Unavailable("the database does not answer or has no tables yet; predictions are not affected") from error


def answer(document: BaseModel, status: int = 200) -> web.Response:
    """Return a document as JSON."""
    return json_response(document.model_dump(mode="json"), status)


async def read_json(request: web.Request) -> Any:
    """Return the request's JSON. Raises MalformedRequest."""
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not valid JSON: {error}") from None


def paging(request: web.Request) -> tuple[int, int]:
    """Return page and per_page. Raises InvalidInput."""
    found = []
    for name, default, maximum in (("page", 1, 1_000_000), ("per_page", 50, 500)):
        text = request.query.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= maximum:
            raise InvalidInput(f"{name} must be a whole number from 1 to {maximum}", field=name)
        found.append(int(text))
    return found[0], found[1]


def parse_id(request: web.Request) -> tuple[str, TrialId | None]:
    """Return the path's model and trial: `fraud.7` names a trial, `fraud` (trial None) the current one."""
    return model_and_trial(request.match_info["id"])
