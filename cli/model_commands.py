"""`modelmesh register|predict|models|versions|deploy`: what the SDK does, from a shell."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
