"""The `modelmesh` command."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.table import Table

from ..schemas.errors import ModelMeshError
from ..schemas.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=True, help="Serve machine-learning models over a Kafka log.")
console = Console()


@app.callback()
def _root() -> None:
    """Serve machine-learning models over a Kafka log."""


@app.command()
def settings() -> None:
    """List every setting, its value now and what it means."""
    table = Table("variable", "value", "meaning")
    current = Settings()
    for name, field in Settings.model_fields.items():
        table.add_row(f"MODELMESH_{name.upper()}", str(getattr(current, name)), field.description or "")
    console.print(table)


def main() -> None:
    """Run the command; a known error is one line, not a traceback."""
    try:
        app()
    except ModelMeshError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error.detail}", highlight=False)
        sys.exit(1)
