"""What a request must be like to be sent. No I/O."""

from __future__ import annotations

import os

from ..schemas.errors import MalformedRequest, RequestTooLarge
from ..schemas.names import REQUEST_ID
from ..schemas.records import PredictionRequest
from ..schemas.settings.client import ClientSettings
from .header_texts import are_texts, fault_of


def checked_id(request_id: str | None) -> str:
    """Return a request id, a new one where none is given. Raises MalformedRequest."""
    if request_id is None:
        return os.urandom(16).hex()
    if not REQUEST_ID.fullmatch(request_id):
        raise MalformedRequest("a request id has 1 to 128 letters, digits, '.', '_', ':' or '-'", field="request_id")
    return request_id


def check_size(body: bytes, most: int) -> None:
    """Raise RequestTooLarge for a body of more than `most` bytes."""
    if len(body) > most:
        raise RequestTooLarge(
            f"the request has {len(body)} bytes, more than may be ({most}, the setting max_body_bytes): send fewer rows at a "
            "time",
            field="inputs",
        )


def seconds_to_wait(deadline: float | None, settings: ClientSettings) -> float:
    """Return for how many seconds a caller waits. Raises MalformedRequest for what is no number."""
    seconds = min(deadline or settings.deadline, settings.max_deadline)
    if seconds != seconds:
        raise MalformedRequest("a deadline is a number of seconds, not NaN", field="deadline")
    return seconds


def check_texts(request: PredictionRequest) -> None:
    """Raise MalformedRequest naming what cannot be a record header."""
    joined = (
        f"{request.model}{request.routing_key}{request.content_type}{request.traceparent}"
        f"{request.pinned_version}{request.caller}"
    )
    if are_texts(joined):
        return
    name, fault = fault_of(
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
