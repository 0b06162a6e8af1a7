"""What prediction requests over HTTP have in common: a bounded body, a deadline."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ...producers.room import Room
from ...schemas.errors import BodyTooSlow, MalformedRequest, RequestTooLarge

# An upload of a prediction may take so many seconds: it holds memory meanwhile.
BODY_SECONDS = 60.0
# What a float holds; a number of more digits is no time.
MAX_DIGITS = 300


async def read_body(request: web.Request, most: int, room: Room) -> bytes:
    """Return the body; its bytes count as in flight in `room` while it comes.

    Raises RequestTooLarge as soon as it has more than `most` bytes, Overloaded, or BodyTooSlow.
    """
    if request.content_length is not None and request.content_length > most:
        raise RequestTooLarge(f"the body has {request.content_length} bytes: at most {most} are taken")
    if request.content.is_eof():  # all of it has come with the headers, as most do
        return await _read(request, most, room)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read(request, most, room)
    except TimeoutError:
        raise BodyTooSlow(f"the body did not come within {BODY_SECONDS:.0f} s") from None


async def _read(request: web.Request, most: int, room: Room) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            room.take_bytes(len(chunk))
            body += chunk
            if len(body) > most:
                raise RequestTooLarge(f"the body has more than {most} bytes")
        return bytes(body)
    finally:
        room.give_back_bytes(len(body))


def read_deadline(request: web.Request) -> float | None:
    """Return the seconds that the caller gives, or None. Raises MalformedRequest."""
    given = request.headers.get("X-Timeout-Ms")
    if given is None:
        return None
    milliseconds = int(given) if given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS else 0
    if milliseconds <= 0:
        raise MalformedRequest("X-Timeout-Ms must be a whole number of milliseconds above 0", field="X-Timeout-Ms")
    return milliseconds / 1000
