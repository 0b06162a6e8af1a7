"""Options that many commands share, and how a command says what it did."""

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
    """Return as JSON what the client answered: documents, or what is made of them."""
    return json.dumps(found, default=Document.as_json)


def say(text: str, document: Any, *, as_json: bool) -> None:
    """Print what was done: as JSON for programs, else in words."""
    if as_json:
        print(json_text(document), flush=True)
    else:
        _console.print(text, highlight=False, markup=False, soft_wrap=True)
