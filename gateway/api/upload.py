"""Read a multipart registration: the file goes to disk as it comes, the other fields are small."""

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

# What no column of text and no line of a log takes as it is; a new line and a tab are text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_JSON_FIELDS = {"metadata", "sample", "reference", "signature", "batching", "compile", "cache_ttl_seconds"}


def parse(kind: type[BaseModel], document: Any, *, values: Container[str] = ()) -> Any:
    """Return the document as the model. Raises InvalidInput naming the first field that does not fit.

    Texts hold no control characters, but for the fields in `values`: what a model answers may hold any.
    """
    try:
        read = kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "body"
        said = first["msg"].removeprefix("Value error, ")
        said = "is required" if first["type"] == "missing" else said
        said = (
            f"there is no such field, there are {', '.join(kind.model_fields)}"
            if first["type"] == "extra_forbidden"
            else said
        )
        raise InvalidInput(f"{field[:200]}: {said}", field=field[:200]) from None
    for name, value in read:
        if isinstance(value, str) and name not in values and _CONTROL.search(value):
            raise InvalidInput(f"{name} holds a control character: {value[:80]!a}", field=name)
    return read


async def read_registration(request: web.Request, folder: Path, largest: int) -> tuple[Registration, Path]:
    """Return the registration and the file, written into the folder.

    Raises MalformedRequest when the body is not multipart or lacks the file, RequestTooLarge, InvalidInput.
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
            raise InvalidInput(f"{part.name[:80]!a}: there is no such field, there are {known}", field=part.name[:80])
        if part.name in fields or (part.name == "artifact" and artifact is not None):
            raise MalformedRequest(f"the form has {part.name[:80]!r} twice", field=part.name[:80])
        if part.name == "artifact":
            artifact = folder / "artifact"
            await _write(part, artifact, largest)
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
                raise MalformedRequest(f"{part.name} is no UTF-8 text", field=part.name) from None
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
        f"the body is not the multipart form that its Content-Type says: {error}"[:300], field="artifact"
    )


async def _write(part: BodyPartReader, path: Path, largest: int) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := await part.read_chunk(256 * 1024):
            size += len(chunk)
            if size > largest:
                raise RequestTooLarge(f"the file has more than {largest} bytes", field="artifact")
            file.write(chunk)
    if not size:
        raise InvalidInput("the file is empty", field="artifact")


async def _read_small(part: BodyPartReader, left: int) -> bytes:
    """Return a field. Raises RequestTooLarge before more is held than one field, or `left` of all together, may have."""
    most = min(LARGEST_FIELD, left)
    text = bytearray()
    while chunk := await part.read_chunk():
        if len(text) + len(chunk) > most:
            raise RequestTooLarge(
                f"{part.name} has more than {most} bytes: a field has {LARGEST_FIELD} at most, and all but the file "
                f"{LARGEST_FIELDS} together",
                field=part.name,
            )
        text += chunk
    return bytes(text)
