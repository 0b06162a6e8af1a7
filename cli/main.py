"""The `modelmesh` command."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from ..schemas.errors import ModelMeshError
from . import mesh_commands, model_commands, role_commands

app = typer.Typer(no_args_is_help=True, help="Serve machine-learning models over a Kafka log.", rich_markup_mode=None)
mesh_commands.add_to(app)
model_commands.add_to(app)
role_commands.add_to(app)


def main() -> None:
    """Run the command; a known error is one line, not a traceback."""
    try:
        app()
    except ModelMeshError as error:
        Console(stderr=True).print(f"error: {error.detail}", style="red", highlight=False, markup=False)
        sys.exit(1)
