"""`modelmesh drift|latency|watch`: what the judge knows, and events as they come."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..sdk import ModelMeshClient
from .model_commands import DEFAULT_URL, JsonOption, UrlOption

console = Console()


def drift(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Show how live inputs differ from the reference, feature by feature. Exit code 1 while a version drifts."""
    with ModelMeshClient(url) as client:
        found = client.drift(name)
    if as_json:
        print(json.dumps(found))
    else:
        for version, watch in found["versions"].items():
            reference = watch["reference"]
            said = (
                f"{reference['rows']} reference rows ({reference['source']})" if reference
                else f"learning the reference, {watch['learned_rows']} rows so far"
            )  # fmt: skip
            state = "DRIFTING" if watch["drifting"] else "no drift"
            console.print(
                f"{name} {version}: {state}; {said}, {watch['windows_judged']} windows judged", highlight=False
            )
            table = Table("feature", "PSI", "KS", "p (corrected)")
            for feature in sorted(watch["features"], key=lambda feature: feature["p"]):
                ks = "-" if feature["ks"] is None else f"{feature['ks']:.3f}"
                table.add_row(feature["feature"], f"{feature['psi']:.3f}", ks, f"{feature['p']:.2g}")
            console.print(table)
    if any(watch["drifting"] for watch in found["versions"].values()):
        raise typer.Exit(1)


def latency(
    name: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Show p50, p95 and p99 over 1 min, 5 min and 1 h, by model and version."""
    with ModelMeshClient(url) as client:
        found = client.latency(name)
    if as_json:
        print(json.dumps(found))
        return
    table = Table("model", "version", "over", "requests", "failed", "p50 ms", "p95 ms", "p99 ms")
    for model, document in found.items():
        for version, windows in document["versions"].items():
            for window, figures in windows.items():
                ranks = [f"{figures[rank]:.2f}" for rank in ("p50_ms", "p95_ms", "p99_ms")]
                table.add_row(model, version, window, str(figures["requests"]), str(figures["failed"]), *ranks)
    console.print(table)


def watch(
    name: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Print events as they come, until Ctrl-C."""
    with ModelMeshClient(url) as client:
        try:
            for event in client.watch(name):
                if as_json:
                    print(json.dumps(event), flush=True)
                else:
                    at = datetime.fromtimestamp(event["at"]).strftime("%H:%M:%S")
                    console.print(f"{at}  {event['kind']}  {event['summary']}", highlight=False, markup=False)
        except KeyboardInterrupt:
            return


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (drift, latency, watch):
        app.command()(command)
