"""`modelmesh db upgrade|downgrade|current`: the schema of the database that MODELMESH_DATABASE names."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from ...registry.storage import migrate
from ...schemas.settings.storage import StorageSettings
from ..options import JsonOption, say

app = typer.Typer(no_args_is_help=True, help="The database's schema.", rich_markup_mode=None)


def _run(url: str, action: Coroutine[Any, Any, Any]) -> Any:
    return migrate.translate_errors(url, lambda: asyncio.run(action))


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="The target revision.")] = "head", as_json: JsonOption = False
) -> None:
    """Upgrade the schema. Roles also do so when they start."""
    url = StorageSettings().database_url
    _run(url, migrate.upgrade(url, revision))
    _show_revision(url, as_json=as_json)


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="The target revision; 'base' drops every table.")],
    as_json: JsonOption = False,
) -> None:
    """Downgrade the schema. The data of dropped columns and tables is lost."""
    url = StorageSettings().database_url
    _run(url, migrate.downgrade(url, revision))
    _show_revision(url, as_json=as_json)


@app.command()
def current(as_json: JsonOption = False) -> None:
    """Show the database's revision. Exit code 1 if it is not the newest."""
    found, newest = _show_revision(StorageSettings().database_url, as_json=as_json)
    if found != newest:
        raise typer.Exit(1)


def _show_revision(url: str, *, as_json: bool) -> tuple[str, str]:
    found, newest = _run(url, migrate.current(url)), migrate.newest()
    text = f"the database is at {found}, the newest is {newest}"
    if found != newest:
        text += ": upgrade it with `modelmesh db upgrade`"
    say(text, {"revision": found, "newest": newest}, as_json=as_json)
    return found, newest


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="db")
