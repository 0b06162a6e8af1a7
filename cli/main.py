"""The `modelmesh` command."""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError
from rich.console import Console

from ..schemas.errors import ModelMeshError
from ..schemas.settings import Settings
from . import (
    demo_command,
    load_command,
    mesh_commands,
    model_commands,
    monitoring_commands,
    release_commands,
    role_commands,
)

app = typer.Typer(no_args_is_help=True, help="Serve machine-learning models over a Kafka log.", rich_markup_mode=None)
mesh_commands.add_to(app)
model_commands.add_to(app)
release_commands.add_to(app)
monitoring_commands.add_to(app)
load_command.add_to(app)
demo_command.add_to(app)
role_commands.add_to(app)


def main() -> None:
    """Run the command; a known error is one line, not a traceback."""
    try:
        app()
    except ModelMeshError as error:
        _fail(error.detail)
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        first = error.errors()[0]
        _fail(f"MODELMESH_{str(first['loc'][0]).upper()}: {first['msg']}, not {str(first['input'])[:80]!r}")


def _fail(message: str) -> None:
    Console(stderr=True).print(f"error: {message}", style="red", highlight=False, markup=False)
    sys.exit(1)
