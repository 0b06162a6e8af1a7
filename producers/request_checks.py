"""Validates requests before they are sent. No I/O."""

from __future__ import annotations

import os

from ..schemas.errors import MalformedRequest, RequestTooLarge
from ..schemas.names import REQUEST_ID
from ..schemas.records import PredictionRequest
from ..schemas.settings.client import ClientSettings
from .header_texts import are_valid, first_error


def checked_id(request_id: str | None) -> str:
    """Return the request id, or a new one for None. Raises MalformedRequest."""
    if request_id is None:
        return os.urandom(16).hex()
    if not REQUEST_ID.fullmatch(request_id):
        raise MalformedRequest("a request id has 1 to 128 letters, digits, '.', '_', ':' or '-'", field="request_id")
    return request_id


def check_size(body: bytes, max_bytes: int) -> None:
    """Raise RequestTooLarge for a body of more than `max_bytes`."""
    if len(body) > max_bytes:
        raise RequestTooLarge(
            f"the request has {len(body)} bytes, more than the limit of {max_bytes} (the setting max_body_bytes): send fewer "
            "rows at a time",
            field="inputs",
        )


def seconds_to_wait(deadline: float | None, settings: ClientSettings) -> float:
    """Return for how many seconds a caller waits. Raises MalformedRequest for NaN."""
    seconds = min(deadline or settings.deadline, settings.max_deadline)
    if seconds != seconds:
        raise MalformedRequest("a deadline is a number of seconds, not NaN", field="deadline")
    return seconds


def check_texts(request: PredictionRequest) -> None:
    """Raise MalformedRequest naming a text that cannot be a record header."""
    joined = (
        f"{request.model}{request.routing_key}{request.content_type}{request.traceparent}"
        f"{request.pinned_version}{request.caller}"
    )
    if are_valid(joined):
        return
    name, fault = first_error(
        {
            "model": request.model,
            "routing key": request.routing_key,
            "content type": request.content_type,
            "traceparent": request.traceparent,
            "version": request.pinned_version,
            "caller": request.caller,
        }
    )
    raise MalformedRequest(fault, field=name.replace(" ", "_"))
