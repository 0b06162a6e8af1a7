"""The `modelmesh` command."""

from __future__ import annotations

import os
import sys

import typer
from pydantic import ValidationError
from rich.console import Console

from ..schemas.errors import ModelMeshError
from ..schemas.settings import Settings
from ..telemetry.logs import configure_logs
from . import (
    chaos_commands,
    counterfactual_command,
    db_commands,
    dead_letter_commands,
    demo_command,
    doctor_command,
    import_command,
    key_commands,
    load_command,
    mesh_commands,
    model_commands,
    monitoring_commands,
    release_commands,
    replay_command,
    role_commands,
    top_command,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Serve machine-learning models over a Kafka log.",
    rich_markup_mode=None,
)


@app.callback(help="Serve machine-learning models over a Kafka log.")
def _quiet() -> None:
    """What a command has to say goes to standard output; logs are a role's, which configures them itself."""
    configure_logs("error", "cli", "cli")


mesh_commands.add_to(app)
model_commands.add_to(app)
release_commands.add_to(app)
monitoring_commands.add_to(app)
load_command.add_to(app)
demo_command.add_to(app)
doctor_command.add_to(app)
import_command.add_to(app)
dead_letter_commands.add_to(app)
db_commands.add_to(app)
key_commands.add_to(app)
replay_command.add_to(app)
counterfactual_command.add_to(app)
top_command.add_to(app)
chaos_commands.add_to(app)
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
    except Exception as error:
        if os.environ.get("MODELMESH_LOG_LEVEL", "").lower() == "debug":
            raise
        _fail(f"this was not foreseen: {type(error).__name__}: {error} (MODELMESH_LOG_LEVEL=debug shows where)")


def _fail(message: str) -> None:
    Console(stderr=True).print(f"error: {message}", style="red", highlight=False, markup=False)
    sys.exit(1)
