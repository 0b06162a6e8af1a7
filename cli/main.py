"""The `modelmesh` command."""

from __future__ import annotations

import os
import sys

import typer
from pydantic import ValidationError
from rich.console import Console

from ..schemas.errors import ModelMeshError
from ..schemas.extras import not_installed
from ..schemas.own_environment import take_over
from ..telemetry.logs import configure_logs
from .lazy_commands import LazyCommands

app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Serve machine-learning models over a Kafka log.",
    rich_markup_mode=None,
)


@app.callback(help="Serve machine-learning models over a Kafka log.")
def _quiet() -> None:
    """Only errors are logged; a role configures its own logs."""
    configure_logs("error", "cli", "cli")


def main() -> None:
    """Run the command; an error is printed as one line, not as a traceback."""
    take_over()
    try:
        app()
    except ModelMeshError as error:
        _fail(error.detail)
    except ValidationError as error:
        if not error.title.endswith("Settings"):
            raise
        first = error.errors()[0]
        _fail(f"MODELMESH_{str(first['loc'][0]).upper()}: {first['msg']}, not {str(first['input'])[:80]!r}")
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (missing := not_installed(error, "this command")) is not None:
            _fail(missing.detail)
        if os.environ.get("MODELMESH_LOG_LEVEL", "").lower() == "debug":
            raise
        _fail(f"unexpected error: {type(error).__name__}: {error} (MODELMESH_LOG_LEVEL=debug shows where)")


def _fail(message: str) -> None:
    Console(stderr=True).print(f"error: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(1)
