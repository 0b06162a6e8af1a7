"""`modelmesh canary pause|resume|exclude|include|hold`: overrule a canary's judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from ...schemas.documents.releases import CanaryDocument, Deployed
from ...schemas.errors import InvalidInput
from ...sdk import ModelMeshClient
from ..options import DEFAULT_URL, JsonOption, UrlOption, json_text

console = Console()
NameArgument = Annotated[str, typer.Argument(help="The model's name, or the canary's id.")]
ComparisonArgument = Annotated[
    str, typer.Argument(help="As `modelmesh canary show` names it, such as p99; or threshold, or drift.")
]
WhyOption = Annotated[str, typer.Option("--reason", help="Why: it is kept in the history. Required.")]
ReasonOption = Annotated[str, typer.Option(help="The reason, for the history.")]


def say_overrides(canary: CanaryDocument) -> None:
    """Print what people have overruled of a running canary's judge, a line each."""
    if canary.deployment is None or canary.deployment.canary is None:
        return
    for line in canary.deployment.canary.overrides.lines():
        console.print(f"  {line}", highlight=False, markup=False, style="yellow", soft_wrap=True)


def _overrule(url: str, as_json: bool, change: Callable[[ModelMeshClient], Deployed]) -> None:
    with ModelMeshClient(url) as client:
        changed = change(client)
    if as_json:
        print(json_text(changed))
        return
    text = f"{changed.event.summary} (generation {changed.event.generation})"
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _required(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput('say why with --reason "...": it is kept in the history', field="reason")
    return reason


def pause(
    name: NameArgument,
    reason: WhyOption = "",
    seconds: Annotated[float | None, typer.Option(help="Resume by itself after so many seconds.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Pause the judge: it goes on counting, and takes neither steps nor rollbacks by itself."""
    why = _required(reason)
    _overrule(url, as_json, lambda client: client.pause_canary(name, why, seconds=seconds))


def resume(
    name: NameArgument, reason: ReasonOption = "", url: UrlOption = DEFAULT_URL, as_json: JsonOption = False
) -> None:
    """Let the judge decide again, by all that it has counted meanwhile."""
    _overrule(url, as_json, lambda client: client.resume_canary(name, reason))


def exclude(
    name: NameArgument,
    comparison: ComparisonArgument,
    reason: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Let a comparison, or the threshold or drift rule, decide nothing. It is still shown."""
    why = _required(reason)
    _overrule(url, as_json, lambda client: client.exclude_comparison(name, comparison, why))


def include(
    name: NameArgument,
    comparison: ComparisonArgument,
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Let an excluded comparison decide again."""
    _overrule(url, as_json, lambda client: client.include_comparison(name, comparison, reason))


def hold(
    name: NameArgument,
    seconds: Annotated[float, typer.Option(help="So many seconds from now; 0 ends a hold before its time.")],
    reason: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Leave the present step no earlier than in so many seconds. The judge still rolls back."""
    why = _required(reason)
    _overrule(url, as_json, lambda client: client.hold_canary(name, why, seconds=seconds))


def add_to_canary(app: typer.Typer) -> None:
    """Register the commands below `modelmesh canary`."""
    for command in (pause, resume, exclude, include, hold):
        app.command()(command)
