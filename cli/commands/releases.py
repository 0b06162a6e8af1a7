"""`modelmesh canary|shadow|experiment`: start, show and end trials."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

import typer
from rich.console import Console
from rich.table import Table

from ...schemas.documents.releases import Deployed
from ...schemas.errors import InvalidInput
from ...sdk import ModelMeshClient
from ...sdk.options import CanaryRules
from ..evidence_history import print_difference, print_history
from ..options import DEFAULT_URL, JsonOption, UrlOption, json_text
from .canary_overrides import add_to_canary, say_overrides

console = Console()
NameArgument = Annotated[str, typer.Argument(help="The model's name, or the trial's id.")]
ModelArgument = Annotated[str, typer.Argument(help="The model's name.")]
ReasonOption = Annotated[str, typer.Option(help="The reason, for the history.")]
PercentageArgument = Annotated[float, typer.Argument(help="Its share in percent.")]

canary_app = typer.Typer(no_args_is_help=True, help="Send a share of the requests to a candidate version and judge it.")
shadow_app = typer.Typer(no_args_is_help=True, help="Send copies of the requests to a version.")
experiment_app = typer.Typer(no_args_is_help=True, help="Split the users over versions and compare them.")


def _changed(url: str, as_json: bool, change: Callable[[ModelMeshClient], Deployed]) -> None:
    with ModelMeshClient(url) as client:
        changed = change(client)
    if as_json:
        print(json_text(changed))
        return
    console.print(f"{changed.event.summary} (generation {changed.event.generation})", highlight=False, markup=False)
    if not changed.ready:
        console.print("not ready yet: no worker has loaded one of the versions", style="yellow")


@canary_app.command("start")
def start_canary(
    name: ModelArgument,
    version: Annotated[str, typer.Argument(help="The candidate.")],
    percentage: Annotated[float | None, typer.Option(help="Its initial share in percent; 10 without steps.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Roll back above this failure rate, such as 0.05.")] = None,
    steps: Annotated[str, typer.Option(help="Shares in percent, such as 5,25,50,100; then it is promoted.")] = "",
    hold: Annotated[float, typer.Option(help="Seconds for each step.")] = 60.0,
    mirror_share: Annotated[float, typer.Option(help="Share of its requests that stable answers too.")] = 0.1,
    max_disagreement: Annotated[float, typer.Option(help="Share of these answers that may differ.")] = 0.05,
    on_disagreement: Annotated[str, typer.Option(help="If more differ: report, hold or rollback.")] = "report",
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Start a canary; the judge rolls it back if it is worse than stable."""
    try:
        stages = [float(step) for step in steps.split(",") if step.strip()]
    except ValueError:
        raise InvalidInput(f"--steps: {steps!r} is not a list of numbers such as 5,25,50,100", field="steps") from None
    if on_disagreement not in ("report", "hold", "rollback"):
        raise InvalidInput("--on-disagreement is report, hold or rollback", field="on_disagreement")
    rules = CanaryRules(
        steps=stages,
        hold_seconds=hold,
        mirror_share=mirror_share,
        max_disagreement=max_disagreement,
        on_disagreement=cast("Literal['report', 'hold', 'rollback']", on_disagreement),
        reason=reason,
    )
    _changed(url, as_json, lambda client: client.create_canary(name, version, percentage, threshold, **rules))


@canary_app.command("show")
def show_canary(name: NameArgument, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Show a canary with its evidence, or its outcome."""
    with ModelMeshClient(url) as client:
        canary = client.canary(name)
    if as_json:
        print(json_text(canary))
        return
    console.print(f"{canary.id}: {canary.status.replace('_', ' ')}", highlight=False)
    say_overrides(canary)
    for event in canary.events:
        console.print(f"  {event.summary}", highlight=False, markup=False)
    if (statistics := canary.statistics) is not None:
        console.print(_versions_table(statistics["versions"]))
        table = Table("compared", "evidence against it", "rolls back at")
        for what, found in statistics["comparisons"].items():
            limit = f"{found['limit']:.0f} to 1" if "excluded" not in found else "excluded"
            table.add_row(what, f"{found['evidence']:.3g} to 1", limit)
        console.print(table)
        print_difference(console, statistics["comparisons"]["errors"].get("difference"))
        if (pairs := statistics.get("pairs")) and pairs["observed"]:
            console.print(_pairs_line(pairs), highlight=False, markup=False)
        console.print(f"{statistics['decision']['kind']}: {statistics['decision']['reason']}", highlight=False)
        if (unpaused := statistics.get("unpaused_decision")) is not None:
            console.print(f"without the pause: {unpaused['kind']}: {unpaused['reason']}", highlight=False)
    print_history(console, canary.history)


def _pairs_line(pairs: dict[str, Any]) -> str:
    low, high = pairs["rate_interval"]
    text = f"{pairs['differed']} of {pairs['observed']} mirrored answers differ from stable's ({low:.1%} to {high:.1%})"
    named = ", ".join(f"{name}: {count}" for name, count in list(pairs["confusions"].items())[:5])
    return f"{text}; {named}" if named else text


def _versions_table(versions: dict[str, Any]) -> Table:
    table = Table("version", "requests", "failed", "p50 ms", "p95 ms", "p99 ms")
    for version, found in versions.items():
        latency = [f"{value:.1f}" if value is not None else "-" for value in found["latency_ms"].values()]
        table.add_row(version, str(found["requests"]), str(found["failed"]), *latency)
    return table


@canary_app.command("percentage")
def set_percentage(
    name: NameArgument,
    percentage: PercentageArgument,
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Change the candidate's share."""
    _changed(url, as_json, lambda client: client.set_canary_percentage(name, percentage, reason=reason))


@canary_app.command("promote")
def promote(
    name: NameArgument, reason: ReasonOption = "", url: UrlOption = DEFAULT_URL, as_json: JsonOption = False
) -> None:
    """Send all requests to the candidate."""
    _changed(url, as_json, lambda client: client.promote_canary(name, reason=reason))


@canary_app.command("rollback")
def rollback(
    name: NameArgument, reason: ReasonOption = "", url: UrlOption = DEFAULT_URL, as_json: JsonOption = False
) -> None:
    """Send all requests to the stable version."""
    _changed(url, as_json, lambda client: client.rollback_canary(name, reason=reason))


@shadow_app.command("start")
def start_shadow(
    name: ModelArgument,
    version: Annotated[str, typer.Argument(help="The shadow.")],
    percentage: Annotated[float, typer.Option(help="Share of the requests to copy, in percent.")] = 100.0,
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Send copies of the requests to a version; its answers are only compared."""
    _changed(url, as_json, lambda client: client.create_shadow(name, None, version, percentage, reason=reason))


@shadow_app.command("show")
def show_shadow(name: ModelArgument, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Show how the shadow's answers differ."""
    with ModelMeshClient(url) as client:
        shadow = client.shadow(name)
    if as_json:
        print(json_text(shadow))
        return
    agreement, (low, high) = shadow["agreement"], shadow["agreement_interval"]
    console.print(
        f"{shadow['id']}: {shadow['paired']} paired, {shadow['shed']} shed, {shadow['alone']} alone; agreement "
        + ("unknown" if agreement is None else f"{agreement:.2%} ({low:.2%} to {high:.2%})"),
        highlight=False,
    )
    table = Table("request", "distance", "production", "shadow")
    for found in shadow["worst"]:
        distance = "failed" if found["distance"] is None else f"{found['distance']:.4g}"
        table.add_row(found["request_id"], distance, json.dumps(found["production"]), json.dumps(found["shadow"]))
    console.print(table)


@shadow_app.command("stop")
def stop_shadow(
    name: NameArgument, reason: ReasonOption = "", url: UrlOption = DEFAULT_URL, as_json: JsonOption = False
) -> None:
    """Stop sending copies to the shadow."""
    _changed(url, as_json, lambda client: client.stop_shadow(name, reason=reason))


@experiment_app.command("start")
def start_experiment(
    model: ModelArgument,
    variants: Annotated[
        list[str], typer.Argument(help="NAME=VERSION:WEIGHT, the control first; weights add up to 100.")
    ],
    name: Annotated[str, typer.Option(help="A name for the experiment.")] = "",
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Split the users over versions, such as `control=1.0.0:50 new=2.0.0:50`."""
    arms = [_arm(variant) for variant in variants]
    _changed(url, as_json, lambda client: client.create_experiment(model, arms, name, reason=reason))


def _arm(variant: str) -> dict[str, Any]:
    name, _, rest = variant.partition("=")
    version, _, weight = rest.partition(":")
    try:
        return {"name": name, "version": version, "weight": float(weight)}
    except ValueError:
        raise InvalidInput(
            f"{variant!r} is not a variant: write NAME=VERSION:WEIGHT, such as new=2.0.0:50", field="variants"
        ) from None


@experiment_app.command("show")
def show_experiment(name: NameArgument, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Show an experiment's results by variant."""
    with ModelMeshClient(url) as client:
        experiment = client.experiment(name)
    if as_json:
        print(json_text(experiment))
        return
    console.print(
        f"{experiment['name']} on {experiment['model']}: {experiment['status']}", highlight=False, markup=False
    )
    table = Table("variant", "version", "requests", "failed", "failure rate (95 %)", "p50 ms", "p99 ms")
    for variant, found in (experiment["results"] or {}).items():
        low, high = found["failure_rate_interval"]
        latency = [found["latency_ms"][rank]["value"] for rank in ("p50", "p99")]
        table.add_row(
            variant, found["version"], str(found["requests"]), str(found["failed"]), f"{low:.2%} to {high:.2%}",
            *(f"{value:.1f}" if value is not None else "-" for value in latency),
        )  # fmt: skip
    console.print(table)


@experiment_app.command("stop")
def stop_experiment(
    name: NameArgument,
    winner: Annotated[str, typer.Option(help="The variant or version that goes live; default: the control.")] = "",
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """End an experiment; the winner goes live."""
    _changed(url, as_json, lambda client: client.stop_experiment(name, winner, reason=reason))


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    add_to_canary(canary_app)
    app.add_typer(canary_app, name="canary")
    app.add_typer(shadow_app, name="shadow")
    app.add_typer(experiment_app, name="experiment")
