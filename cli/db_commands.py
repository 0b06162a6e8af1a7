"""`modelmesh db upgrade|downgrade|current`: the schema of the database that MODELMESH_DATABASE names."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
from rich.console import Console

from ..control_plane import migrate
from ..schemas.settings import Settings

console = Console()
app = typer.Typer(no_args_is_help=True, help="The database's schema.", rich_markup_mode=None)


def _run(url: str, action: Coroutine[Any, Any, Any]) -> Any:
    return migrate.plainly(url, lambda: asyncio.run(action))


@app.command()
def upgrade(revision: Annotated[str, typer.Argument(help="Up to this revision.")] = "head") -> None:
    """Bring the schema up to date. Roles do so when they start; this does it before."""
    url = Settings().database_url
    _run(url, migrate.upgrade(url, revision))
    console.print(f"the database is at {_run(url, migrate.current(url))}")


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="Down to this revision; 'base' drops every table.")],
) -> None:
    """Take the schema back. What the dropped columns and tables held is lost."""
    url = Settings().database_url
    _run(url, migrate.downgrade(url, revision))
    console.print(f"the database is at {_run(url, migrate.current(url))}")


@app.command()
def current() -> None:
    """Say at which revision the database is. Exit code 1 when that is not the newest."""
    url = Settings().database_url
    found, newest = _run(url, migrate.current(url)), migrate.newest()
    console.print(f"the database is at {found}, the newest is {newest}")
    if found != newest:
        console.print("`modelmesh db upgrade` brings it there")
        raise typer.Exit(1)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="db")
