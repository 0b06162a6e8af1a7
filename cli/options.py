"""Shared options and output functions of the commands."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from ..schemas.documents.document import Document

DEFAULT_URL = "http://127.0.0.1:8000"
UrlOption = Annotated[str, typer.Option("--url", envvar="MODELMESH_URL", help="The gateway.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
_console = Console()


def json_text(found: Any) -> str:
    """Return a client's result, documents included, as JSON."""
    return json.dumps(found, default=Document.as_json)


def say(text: str, document: Any, *, as_json: bool) -> None:
    """Print a result: the document as JSON, or the text."""
    if as_json:
        print(json_text(document), flush=True)
    else:
        _console.print(text, highlight=False, markup=False, soft_wrap=True)
