"""A request's body by its content type: what it asks, and how its answer is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson
import structlog

from ...schemas.errors import MalformedRequest, ModelMeshError
from ...schemas.payloads.signatures import Signature
from ...schemas.records import JSON, V2_JSON, v2_content_type, v2_header_bytes
from ...schemas.value_class import value_class
from .inference_protocol import read_request, write_response
from .outputs import write_outputs
from .tensors import Tensors, count_rows, parse_body, read_inputs

log = structlog.get_logger(__name__)
# Called with model, version, outputs and the rows that are this request's; returns the body and its content type.
Write: TypeAlias = Callable[[str, str, Tensors, int, int], tuple[bytes, str]]


@value_class
class ParsedRequest:
    """A request that was read: named arrays, their rows, and how the answer is to be written."""

    tensors: Tensors
    rows: int
    write: Write


def parse_request(body: bytes, content_type: str, signature: Signature, request_id: str = "") -> ParsedRequest:
    """Read a body; an answer that has an id, and was given none, has the request's.

    Raises MalformedRequest or InvalidInput naming what does not fit.
    """
    try:
        return _read(body, content_type, signature, request_id)
    except ModelMeshError:
        raise
    except Exception as error:
        # An unforeseen parser error is still an error of this body: only its caller gets it.
        log.exception("body.unreadable")
        raise MalformedRequest(
            f"the body cannot be read: {type(error).__name__}: {str(error)[:200]}", field="inputs"
        ) from error


def _read(body: bytes, content_type: str, signature: Signature, request_id: str) -> ParsedRequest:
    if content_type == JSON:
        tensors, rows = read_inputs(parse_body(body), signature)
        return ParsedRequest(tensors, rows, _write_json)
    if not content_type.startswith(V2_JSON):
        raise MalformedRequest(
            f"the content type {content_type[:80]!r} is none that is read here", field="content-type"
        )
    tensors, rows, wanted = read_request(body, v2_header_bytes(content_type), signature, request_id)

    def write(model: str, version: str, outputs: Tensors, begin: int, end: int) -> tuple[bytes, str]:
        answer, header_bytes = write_response(model, version, outputs, begin, end, wanted)
        return answer, v2_content_type(header_bytes)

    return ParsedRequest(tensors, rows, write)


def count_body_rows(body: bytes, content_type: str, signature: Signature | None) -> int:
    """Return how many rows a body asks about, before it is read as a whole; 1 for what cannot be read."""
    try:
        if content_type == JSON:
            return count_rows(parse_body(body), signature)
        header_bytes = v2_header_bytes(content_type)
        rows = orjson.loads(body if header_bytes is None else body[:header_bytes])["inputs"][0]["shape"][0]
    except (ModelMeshError, ValueError, LookupError, TypeError):
        return 1
    return max(1, rows) if type(rows) is int else 1


def _write_json(model: str, version: str, outputs: Any, begin: int, end: int) -> tuple[bytes, str]:
    return write_outputs(model, version, outputs, begin, end), JSON
