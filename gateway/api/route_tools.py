"""What the control plane's routes share: answers, JSON bodies, paging, and a plain word when the database is away."""

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
# The query of a list, as `paging` reads it.
PAGING = ("page", "per_page")


@contextlib.contextmanager
def database_there() -> Iterator[None]:
    """Raise Unavailable where the block cannot reach the database."""
    try:
        yield
    except (OperationalError, InterfaceError, OSError) as error:
        log.warning("database.unavailable", error=str(error)[:300])
        raise Unavailable("the database does not answer or has no tables yet; predictions go on") from error


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
    for name, default, most in (("page", 1, 1_000_000), ("per_page", 50, 500)):
        text = request.query.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
            raise InvalidInput(f"{name} must be a whole number from 1 to {most}", field=name)
        found.append(int(text))
    return found[0], found[1]


def parse_id(request: web.Request) -> tuple[str, TrialId | None]:
    """Return the path's model and, where it names one, its trial: `fraud` is whatever runs, `fraud.7` that one."""
    return model_and_trial(request.match_info["id"])
