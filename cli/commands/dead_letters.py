"""`modelmesh dead-letters list|show|redrive`: dead letters, read directly from MODELMESH_KAFKA."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ...producers.dead_letters import DeadLetter, DeadLetters
from ...schemas.errors import InvalidInput, RequestTooLarge
from ...schemas.records import Reply
from ...schemas.settings.client import ClientSettings
from ..options import JsonOption, say

console = Console()
app = typer.Typer(no_args_is_help=True, help="Records that could not be processed.", rich_markup_mode=None)
Number = Annotated[int, typer.Argument(min=0, help="The dead letter's number, as the list shows it.")]


@app.command("list")
def list_letters(
    newest: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 50, as_json: JsonOption = False
) -> None:
    """List the newest dead letters with their reasons."""
    letters = asyncio.run(DeadLetters(ClientSettings()).list(newest))
    if as_json:
        print(json.dumps([letter.document() for letter in letters]))
        return
    if not letters:
        console.print("there are no dead letters")
        return
    table = Table("number", "at", "from", "reason", "redriven")
    for letter in letters:
        table.add_row(
            str(letter.number),
            f"{datetime.fromtimestamp(letter.at):%Y-%m-%d %H:%M:%S}",
            letter.source,
            letter.reason[:100],
            "yes" if letter.redriven else "",
        )
    console.print(table)


@app.command()
def show(number: Number, as_json: JsonOption = False) -> None:
    """Show a dead letter with its headers, value and stack trace."""
    letter = asyncio.run(DeadLetters(ClientSettings()).get(number))
    document = letter.document()
    if as_json:
        print(json.dumps(document))
        return
    for name in ("number", "source", "reason", "redriven", "cut", "key", "value"):
        console.print(f"{name}: {document[name]}", markup=False, highlight=False)
    for name, value in document["headers"]:
        console.print(f"  {name}: {value}", markup=False, highlight=False)
    if letter.stack:
        console.print(letter.stack, markup=False, highlight=False)


@app.command()
def redrive(
    number: Annotated[int | None, typer.Argument(min=0, help="The dead letter's number, as the list shows it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that have not been redriven yet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Redrive a dead letter: send its record again. A request gets a new id, and its answer is shown."""
    if (number is None) != every:
        raise InvalidInput("give either the number of a dead letter or --all", field="number")
    outcomes = asyncio.run(_redrive(number))
    text = "\n".join(f"{outcome['number']}: {outcome['outcome']}" for outcome in outcomes)
    say(text or "there is nothing to redrive", outcomes, as_json=as_json)
    if any(outcome["failed"] for outcome in outcomes):
        raise typer.Exit(1)


async def _redrive(number: int | None) -> list[dict[str, Any]]:
    letters = DeadLetters(ClientSettings())
    if number is not None:
        chosen = [await letters.get(number)]
    else:
        chosen = [letter for letter in await letters.list() if not letter.redriven]
    outcomes = []
    for letter in chosen:
        try:
            reply = await letters.redrive(letter)
        except RequestTooLarge as error:  # the others go on
            outcomes.append({"number": letter.number, "failed": True, "outcome": error.detail})
            continue
        failed = reply is not None and not reply.ok
        outcomes.append({"number": letter.number, "failed": failed, "outcome": _outcome(letter, reply)})
    return outcomes


def _outcome(letter: DeadLetter, reply: Reply | None) -> str:
    if reply is None:
        return f"sent to {letter.topic} again"
    return f"answered {reply.status}: {reply.body.decode(errors='replace')[:200]}"


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="dead-letters")
