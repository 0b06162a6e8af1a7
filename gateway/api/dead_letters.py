"""The HTTP API for dead letters: list, show and redrive them."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from ...access.caller import caller
from ...producers.dead_letters import DeadLetter, DeadLetters, no_letter
from ...schemas.errors import InvalidInput
from ...schemas.settings.client import ClientSettings
from ...telemetry.http import json_response
from ..route import Route

NEWEST = 100


class DeadLetterDocument(BaseModel):
    """A record that could not be processed. `source` is its topic, partition and offset; `number` identifies it."""

    number: int
    at: float
    source: str
    reason: str
    stack: str
    redriven: bool
    cut: str = Field(
        description="which parts of the record were cut off; empty: none. Cut parts are lost for a redrive"
    )
    key: str | None
    value: str | None
    headers: list[list[str | None]]


class DeadLetterList(BaseModel):
    """The newest dead letters, oldest first."""

    dead_letters: list[DeadLetterDocument]


class Redriven(BaseModel):
    """The outcome of a redrive: status and body of the prediction, or null for any other record."""

    status: int | None
    reply: Any


class DeadLetterRoutes:
    """Reads dead letters from Kafka for each request; nothing is cached."""

    def __init__(self, settings: ClientSettings) -> None:
        self._letters = DeadLetters(settings)

    async def list_letters(self, request: web.Request) -> web.Response:
        """Return the newest dead letters."""
        who = caller.get()
        found = [letter for letter in await self._letters.list() if letter.is_for(who)]
        return json_response({"dead_letters": [letter.document() for letter in found[-NEWEST:]]})

    async def show(self, request: web.Request) -> web.Response:
        """Return one dead letter."""
        return json_response((await self._letter(request)).document())

    async def redrive(self, request: web.Request) -> web.Response:
        """Redrive one dead letter."""
        reply = await self._letters.redrive(await self._letter(request))
        if reply is None:
            return json_response({"status": None, "reply": None})
        return json_response({"status": reply.status, "reply": reply.body.decode(errors="replace")})

    routes = (
        Route("GET", "/dead-letters", list_letters, "List the newest dead letters", scope="admin",
              gives=DeadLetterList, errors=(503,)),
        Route("GET", "/dead-letters/{number}", show, "Show a dead letter", scope="admin", gives=DeadLetterDocument,
              errors=(404, 422, 503)),
        Route("POST", "/dead-letters/{number}/redrive", redrive, "Redrive a dead letter: send its record again", scope="admin",
              repeat="with_key", gives=Redriven, errors=(404, 422, 503, 504)),
    )  # fmt: skip

    async def _letter(self, request: web.Request) -> DeadLetter:
        letter = await self._letters.get(_number(request))
        if not letter.is_for(caller.get()):
            raise no_letter(letter.number)
        return letter


def _number(request: web.Request) -> int:
    text = request.match_info["number"]
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InvalidInput("the number of a dead letter must be a whole number from the list", field="number")
    return int(text)
