"""Read the body and the deadline of HTTP prediction requests."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ...producers.in_flight_quota import InFlightQuota
from ...schemas.errors import BodyTooSlow, MalformedRequest, RequestTooLarge

# Seconds within which the whole body must arrive, since it holds memory.
BODY_TIMEOUT = 60.0
# A float cannot represent longer integers.
MAX_DIGITS = 300


async def read_body(request: web.Request, max_bytes: int, quota: InFlightQuota) -> bytes:
    """Return the body; its bytes count as in flight in `quota` while it is read.

    Raises RequestTooLarge as soon as it exceeds `max_bytes`, Overloaded, or BodyTooSlow.
    """
    if request.content_length is not None and request.content_length > max_bytes:
        raise RequestTooLarge(f"the body has {request.content_length} bytes, more than the limit of {max_bytes}")
    if request.content.is_eof():  # the whole body has arrived with the headers, the usual case
        whole = request.content.read_nowait()
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        return whole
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await _read(request, max_bytes, quota)
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {BODY_TIMEOUT:.0f} s") from None


async def _read(request: web.Request, max_bytes: int, quota: InFlightQuota) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            quota.acquire_bytes(len(chunk))
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
        return bytes(body)
    finally:
        quota.release_bytes(len(body))


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body has more than {max_bytes} bytes")


def read_deadline(request: web.Request) -> float | None:
    """Return the caller's deadline in seconds, or None. Raises MalformedRequest."""
    given = request.headers.get("X-Timeout-Ms")
    if given is None:
        return None
    milliseconds = int(given) if given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS else 0
    if milliseconds <= 0:
        raise MalformedRequest("X-Timeout-Ms must be a whole number of milliseconds above 0", field="X-Timeout-Ms")
    return milliseconds / 1000
