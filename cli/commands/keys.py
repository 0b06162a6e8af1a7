"""`modelmesh keys create|list|revoke`: API keys, written directly to MODELMESH_KAFKA; the first key cannot come from the API."""

from __future__ import annotations

import asyncio
import getpass
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, get_args

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from ...access.api_keys import make_key
from ...broker.kafka.connection import make_producer, start_producer, wait_until_answers
from ...broker.kafka.outbox import Outbox
from ...broker.kafka.topics import ensure_topics
from ...broker.views.keys import KeysView
from ...gateway.api.keys import KeyDocument
from ...gateway.key_writer import KeyWriter
from ...runtime.lifecycle import Lifecycle
from ...schemas.errors import InvalidInput, NotFound
from ...schemas.payloads.keys import ApiKey, Scope
from ...schemas.settings.mesh import MeshSettings
from ..options import JsonOption, say

BROKER_TIMEOUT = 10.0
console = Console()
app = typer.Typer(no_args_is_help=True, help="API keys.", rich_markup_mode=None)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The name of the key's holder.")],
    scope: Annotated[list[str] | None, typer.Option(help="predict, deploy or admin; can be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only for this model; can be repeated.")] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Maximum number of requests a minute.")] = None,
    days: Annotated[float | None, typer.Option(min=0.0, help="Days until it expires.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and show it once."""
    if not scope:
        raise InvalidInput("a key needs a scope: give --scope predict, deploy or admin", field="scope")
    unknown = [word for word in scope if word not in get_args(Scope)]
    if unknown:
        raise InvalidInput(f"there is no scope {unknown[0]!r}: predict, deploy or admin", field="scope")
    now = time.time()
    try:
        key, token = make_key(
            name,
            tuple(scope),  # type: ignore[arg-type]
            now=now,
            models=tuple(model or ()),
            requests_per_minute=per_minute,
            expires_at=now + 86400 * days if days is not None else None,
            created_by=_user_name(),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{first['loc'][0]}: {first['msg']}", field=str(first["loc"][0])) from None
    asyncio.run(_write(key))
    if as_json:
        print(json.dumps({**KeyDocument.of(key).model_dump(), "key": token}))
        return
    console.print(token, highlight=False, markup=False, soft_wrap=True)
    Console(stderr=True).print(
        "Save it now: only its hash is stored. Use it as `Authorization: Bearer mm_...`", markup=False
    )


@app.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List all keys, without their secrets."""
    documents = [KeyDocument.of(key) for key in sorted(asyncio.run(_read()).values(), key=lambda key: key.created_at)]
    if as_json:
        print(json.dumps([document.model_dump() for document in documents]))
        return
    if not documents:
        console.print("there are no keys: create one with `modelmesh keys create NAME --scope predict`")
        return
    table = Table("id", "name", "scopes", "models", "a minute", "expires", "state")
    for document in documents:
        table.add_row(
            document.id,
            document.name,
            " ".join(document.scopes),
            " ".join(document.models) or "all",
            str(document.requests_per_minute or ""),
            f"{datetime.fromtimestamp(document.expires_at):%Y-%m-%d %H:%M}" if document.expires_at else "",
            document.state,
        )
    console.print(table)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, or its name if it is unique.")],
    as_json: JsonOption = False,
) -> None:
    """Revoke a key: every gateway refuses it from then on."""
    found = [known for known in asyncio.run(_read()).values() if key in (known.id, known.name)]
    found = [known for known in found if known.revoked_at is None] or found
    if not found:
        raise NotFound(f"there is no key {key[:80]!r}: `modelmesh keys list` lists the keys", field="key")
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} keys are named {key!r}: give the id", field="key")
    revoked = found[0].model_copy(update={"revoked_at": time.time()})
    asyncio.run(_write(revoked))
    say(f"{revoked.name} ({revoked.id}) is revoked", KeyDocument.of(revoked).model_dump(), as_json=as_json)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "cli"


async def _settings() -> MeshSettings:
    settings = MeshSettings()
    await wait_until_answers(settings, BROKER_TIMEOUT)
    await ensure_topics(settings, [settings.topics().keys, settings.topics().events])
    return settings


async def _read() -> dict[str, ApiKey]:
    view = KeysView(await _settings())
    async with Lifecycle(asyncio.Event()) as parts:
        parts.run("keys", view.run())
        await parts.wait(view.ready.wait())
    return view.keys


async def _write(key: ApiKey) -> None:
    settings = await _settings()
    async with _outbox(settings) as outbox:
        await KeyWriter(settings, outbox).write(key, actor=_user_name(), source="cli")
        await outbox.flushed()


@asynccontextmanager
async def _outbox(settings: MeshSettings) -> AsyncIterator[Outbox]:
    producer = make_producer(settings)
    outbox = Outbox(producer)
    async with Lifecycle(asyncio.Event()) as parts:
        await parts.start("producer", start_producer(producer, settings), producer.stop)
        parts.run("outbox", outbox.run())
        yield outbox


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="keys")
