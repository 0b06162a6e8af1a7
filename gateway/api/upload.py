"""Read a multipart registration. The file is streamed to disk; the other fields are bounded and read into memory."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from typing import Any

import orjson
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from ...registry.registration import Registration
from ...schemas.errors import InvalidInput, MalformedRequest, RequestTooLarge
from ...schemas.payloads.registrations import LARGEST_FIELD, LARGEST_FIELDS

# Control characters other than tab and newlines, which break text columns and log lines.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_JSON_FIELDS = {"metadata", "sample", "reference", "signature", "batching", "compile", "cache_ttl_seconds"}


def parse(kind: type[BaseModel], document: Any, *, values: Container[str] = ()) -> Any:
    """Validate a document. Raises InvalidInput naming the first invalid field.

    Control characters are refused, except in the fields `values`: a model's outputs may contain any.
    """
    try:
        parsed = kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "body"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            message = "is required"
        elif first["type"] == "extra_forbidden":
            message = f"there is no such field, the fields are {', '.join(kind.model_fields)}"
        raise InvalidInput(f"{field[:200]}: {message}", field=field[:200]) from None
    for name, value in parsed:
        if isinstance(value, str) and name not in values and _CONTROL.search(value):
            raise InvalidInput(f"{name} contains a control character: {value[:80]!a}", field=name)
    return parsed


async def read_registration(request: web.Request, folder: Path, max_bytes: int) -> tuple[Registration, Path]:
    """Return the registration and the path of its file in the folder.

    Raises MalformedRequest if the body is not multipart or has no file, RequestTooLarge, InvalidInput.
    """
    if not request.content_type.startswith("multipart/"):
        raise MalformedRequest(
            'send multipart/form-data with the fields "name", "framework" and the file "artifact"', field="artifact"
        )
    fields: dict[str, Any] = {}
    artifact: Path | None = None
    left = LARGEST_FIELDS
    try:
        reader = await request.multipart()
    except (ValueError, AssertionError, HttpProcessingError) as error:
        raise _not_a_form(error) from None
    while (part := await _next_part(reader)) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise MalformedRequest("each part of the form needs a name, and none may be multipart itself")
        if part.name != "artifact" and part.name not in Registration.model_fields:
            known = ", ".join(("artifact", *Registration.model_fields))
            raise InvalidInput(
                f"{part.name[:80]!a}: there is no such field, the fields are {known}", field=part.name[:80]
            )
        if part.name in fields or (part.name == "artifact" and artifact is not None):
            raise MalformedRequest(f"the form has {part.name[:80]!r} twice", field=part.name[:80])
        if part.name == "artifact":
            artifact = folder / "artifact"
            await _write(part, artifact, max_bytes)
            continue
        text = await _read_small(part, left)
        left -= len(text)
        if part.name in _JSON_FIELDS:
            try:
                fields[part.name] = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise MalformedRequest(f"{part.name} is not valid JSON: {error}", field=part.name) from None
        elif text:
            try:
                fields[part.name] = text.decode()
            except UnicodeDecodeError:
                raise MalformedRequest(f"{part.name} is not UTF-8 text", field=part.name) from None
    if artifact is None:
        raise MalformedRequest('the file "artifact" is missing', field="artifact")
    registration: Registration = parse(Registration, fields)
    return registration, artifact


async def _next_part(reader: MultipartReader) -> Any:
    try:
        return await reader.next()
    except (ValueError, AssertionError, HttpProcessingError) as error:
        raise _not_a_form(error) from None


def _not_a_form(error: Exception) -> MalformedRequest:
    return MalformedRequest(
        f"the body is not a multipart form, as its Content-Type says: {error}"[:300], field="artifact"
    )


async def _write(part: BodyPartReader, path: Path, max_bytes: int) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := await part.read_chunk(256 * 1024):
            size += len(chunk)
            if size > max_bytes:
                raise RequestTooLarge(f"the file has more than {max_bytes} bytes", field="artifact")
            file.write(chunk)
    if not size:
        raise InvalidInput("the file is empty", field="artifact")


async def _read_small(part: BodyPartReader, left: int) -> bytes:
    """Return a field's bytes. Raises RequestTooLarge for more than LARGEST_FIELD or `left`, the rest of the total limit."""
    limit = min(LARGEST_FIELD, left)
    text = bytearray()
    while chunk := await part.read_chunk():
        if len(text) + len(chunk) > limit:
            raise RequestTooLarge(
                f"{part.name} has more than {limit} bytes: a field may have {LARGEST_FIELD}, and all fields but the file "
                f"{LARGEST_FIELDS} together",
                field=part.name,
            )
        text += chunk
    return bytes(text)
