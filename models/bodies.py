"""A request's body by its content type: what it asks, and how its answer is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..schemas.errors import MalformedRequest
from ..schemas.records import JSON, V2_JSON, v2_content_type, v2_header_bytes
from ..schemas.signatures import Signature
from ..schemas.value_class import value_class
from .inference_protocol import read_request, write_response
from .outputs import write_outputs
from .tensors import Tensors, parse_body, read_inputs

# Called with model, version, outputs and the rows that are this request's; returns the body and its content type.
Write: TypeAlias = Callable[[str, str, Tensors, int, int], tuple[bytes, str]]


@value_class
class Question:
    """A request that was read: named arrays, their rows, and how the answer is to be written."""

    tensors: Tensors
    rows: int
    write: Write


def read_question(body: bytes, content_type: str, signature: Signature, request_id: str = "") -> Question:
    """Read a body; an answer that has an id, and was given none, has the request's.

    Raises MalformedRequest or InvalidInput naming what does not fit.
    """
    if content_type == JSON:
        tensors, rows = read_inputs(parse_body(body), signature)
        return Question(tensors, rows, _write_json)
    if not content_type.startswith(V2_JSON):
        raise MalformedRequest(
            f"the content type {content_type[:80]!r} is none that is read here", field="content-type"
        )
    tensors, rows, wanted = read_request(body, v2_header_bytes(content_type), signature, request_id)

    def write(model: str, version: str, outputs: Tensors, begin: int, end: int) -> tuple[bytes, str]:
        answer, header_bytes = write_response(model, version, outputs, begin, end, wanted)
        return answer, v2_content_type(header_bytes)

    return Question(tensors, rows, write)


def _write_json(model: str, version: str, outputs: Any, begin: int, end: int) -> tuple[bytes, str]:
    return write_outputs(model, version, outputs, begin, end), JSON
