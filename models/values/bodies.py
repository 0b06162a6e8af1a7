"""Read a request's body by its content type, and choose how its answer is written."""

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
# Called with model, version, outputs, and the begin and end of this request's rows; returns the body and its content type.
Write: TypeAlias = Callable[[str, str, Tensors, int, int], tuple[bytes, str]]


@value_class
class ParsedRequest:
    """A parsed request: named arrays, the number of rows, and a function that writes the answer."""

    tensors: Tensors
    rows: int
    write: Write


def parse_request(body: bytes, content_type: str, signature: Signature, request_id: str = "") -> ParsedRequest:
    """Read a body. `request_id` is the answer's id if the protocol has one and the body does not set it.

    Raises MalformedRequest or InvalidInput, which name the invalid part.
    """
    try:
        return _read(body, content_type, signature, request_id)
    except ModelMeshError:
        raise
    except Exception as error:
        # An unexpected parser error concerns only this body: report it to its caller.
        log.exception("body.unreadable")
        raise MalformedRequest(
            f"the body cannot be read: {type(error).__name__}: {str(error)[:200]}", field="inputs"
        ) from error


def _read(body: bytes, content_type: str, signature: Signature, request_id: str) -> ParsedRequest:
    if content_type == JSON:
        tensors, rows = read_inputs(parse_body(body), signature)
        return ParsedRequest(tensors, rows, _write_json)
    if not content_type.startswith(V2_JSON):
        raise MalformedRequest(f"the content type {content_type[:80]!r} is not supported", field="content-type")
    tensors, rows, wanted = read_request(body, v2_header_bytes(content_type), signature, request_id)

    def write(model: str, version: str, outputs: Tensors, begin: int, end: int) -> tuple[bytes, str]:
        answer, header_bytes = write_response(model, version, outputs, begin, end, wanted)
        return answer, v2_content_type(header_bytes)

    return ParsedRequest(tensors, rows, write)


def count_body_rows(body: bytes, content_type: str, signature: Signature | None) -> int:
    """Return the number of rows in a body without reading it completely; 1 if it cannot be read."""
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
