"""Read a multipart registration: the file goes to disk as it comes, the other fields are small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from aiohttp import BodyPartReader, MultipartReader, web
from pydantic import BaseModel, ValidationError

from ..schemas.errors import InvalidInput, MalformedRequest, RequestTooLarge
from ..schemas.registrations import LARGEST_FIELD
from .registration import Registration

_JSON_FIELDS = {"metadata", "sample", "reference", "signature", "batching", "compile", "cache_ttl_seconds"}


def parse(kind: type[BaseModel], document: Any) -> Any:
    """Return the document as the model. Raises InvalidInput naming the first field that does not fit."""
    try:
        return kind.model_validate(document)
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
    try:
        reader = await request.multipart()
    except (ValueError, AssertionError) as error:
        raise _not_a_form(error) from None
    while (part := await _next_part(reader)) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise MalformedRequest("each part of the form needs a name, and none may be multipart itself")
        if part.name in fields or (part.name == "artifact" and artifact is not None):
            raise MalformedRequest(f"the form has {part.name[:80]!r} twice", field=part.name[:80])
        if part.name == "artifact":
            artifact = folder / "artifact"
            await _write(part, artifact, largest)
            continue
        text = await _read_small(part)
        if part.name in _JSON_FIELDS:
            try:
                fields[part.name] = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise MalformedRequest(f"{part.name} is not valid JSON: {error}", field=part.name) from None
        elif text:
            fields[part.name] = text.decode(errors="replace")
    if artifact is None:
        raise MalformedRequest('the file "artifact" is missing', field="artifact")
    registration: Registration = parse(Registration, fields)
    return registration, artifact


async def _next_part(reader: MultipartReader) -> Any:
    try:
        return await reader.next()
    except (ValueError, AssertionError) as error:
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


async def _read_small(part: BodyPartReader) -> bytes:
    text = bytearray()
    while chunk := await part.read_chunk():
        text += chunk
        if len(text) > LARGEST_FIELD:
            raise RequestTooLarge(f"{part.name} has more than {LARGEST_FIELD} bytes", field=part.name)
    return bytes(text)
