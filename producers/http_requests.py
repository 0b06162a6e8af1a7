"""What prediction requests over HTTP have in common: a bounded body, a deadline."""

from __future__ import annotations

from aiohttp import web

from ..schemas.errors import MalformedRequest, RequestTooLarge


async def read_body(request: web.Request, most: int) -> bytes:
    """Return the body. Raises RequestTooLarge as soon as it has more than `most` bytes."""
    if request.content_length is not None and request.content_length > most:
        raise RequestTooLarge(f"the body has {request.content_length} bytes: at most {most} are taken")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise RequestTooLarge(f"the body has more than {most} bytes")
    return bytes(body)


def read_deadline(request: web.Request) -> float | None:
    """Return the seconds that the caller gives, or None. Raises MalformedRequest."""
    given = request.headers.get("X-Timeout-Ms")
    if given is None:
        return None
    try:
        milliseconds = int(given) if given.isascii() and given.isdigit() else 0
    except ValueError:
        milliseconds = 0
    if milliseconds <= 0:
        raise MalformedRequest("X-Timeout-Ms must be a whole number of milliseconds above 0", field="X-Timeout-Ms")
    return milliseconds / 1000
