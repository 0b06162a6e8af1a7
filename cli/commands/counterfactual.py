"""`modelmesh counterfactual`: how a canary would have ended under other rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from ...schemas.errors import InvalidInput
from ...sdk import ModelMeshClient
from ..options import DEFAULT_URL, JsonOption, UrlOption, json_text

console = Console()


def counterfactual(
    name: Annotated[str, typer.Argument(help="The model's name, for its newest canary, or a canary's id.")],
    threshold: Annotated[
        str | None, typer.Option("--rollback-at", help="Roll back above this failure rate; none: never.")
    ] = None,
    min_requests: Annotated[
        int | None, typer.Option(help="Minimum number of the candidate's requests for that rule.")
    ] = None,
    window: Annotated[float | None, typer.Option(help="Seconds over which the failure rate is measured.")] = None,
    alpha: Annotated[float | None, typer.Option(help="The probability of a false alarm.")] = None,
    latency_tolerance: Annotated[
        str | None, typer.Option(help="Maximum p95 and p99 as a factor of stable's; none: not judged.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Judge a recorded canary again by other rules; the default of each is the canary's own rule."""
    rules: dict[str, Any] = {"min_requests": min_requests, "window_seconds": window, "alpha": alpha}
    rules = {rule: value for rule, value in rules.items() if value is not None}
    for rule, text in (("auto_rollback_threshold", threshold), ("latency_tolerance", latency_tolerance)):
        if text is not None:
            rules[rule] = _number(rule, text)
    with ModelMeshClient(url) as client:
        found = client.counterfactual(name, **rules)
    if as_json:
        print(json_text(found))
        return
    recorded, would = found.recorded, found.would_have
    console.print(f"{found.id} was {_ending(recorded)}", highlight=False)
    for step in would["steps"]:
        console.print(f"  step to {step['percentage']:g} %", highlight=False)
    console.print(f"under these rules: {_ending(would)}: {would['reason']}", highlight=False, markup=False)


def _ending(document: dict[str, Any]) -> str:
    after = f" after {document['seconds']:.1f} s" if document["seconds"] is not None else ""
    return f"{document['decision'].replace('_', ' ')}{after}"


def _number(rule: str, text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{rule} must be a number or none, not {text[:20]!r}", field=rule) from None


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(counterfactual)
