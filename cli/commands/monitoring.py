"""`modelmesh drift|latency|errors|accuracy|label|watch`: monitoring results, labels, and live events."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...sdk import ModelMeshClient
from ..label_file import read_labels
from ..options import DEFAULT_URL, JsonOption, UrlOption, json_text, say

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
        print(json_text(found))
    else:
        for version, watch in found["versions"].items():
            reference = watch["reference"]
            reference_text = (
                f"{reference['rows']} reference rows ({reference['source']})" if reference
                else f"learning the reference, {watch['learned_rows']} rows so far"
            )  # fmt: skip
            state = "DRIFTING" if watch["drifting"] else "no drift"
            console.print(
                f"{name} {version}: {state}; {reference_text}, {watch['windows_judged']} windows judged",
                highlight=False,
            )
            for column, why in watch.get("left_out", {}).items():
                console.print(f"{column} is not watched: {why}", highlight=False, markup=False)
            table = Table("feature", "PSI", "KS", "p (corrected)", "differs most in")
            for feature in sorted(watch["features"], key=lambda feature: feature["p"]):
                ks = "-" if feature["ks"] is None else f"{feature['ks']:.3f}"
                table.add_row(
                    feature["feature"],
                    f"{feature['psi']:.3f}",
                    ks,
                    f"{feature['p']:.2g}",
                    escape(feature.get("what", "")),
                )
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
        print(json_text(found))
        return
    table = Table("model", "version", "over", "requests", "failed", "p50 ms", "p95 ms", "p99 ms")
    for model, document in found.items():
        for version, windows in document["versions"].items():
            for window, figures in windows.items():
                ranks = [f"{figures[rank]:.2f}" for rank in ("p50_ms", "p95_ms", "p99_ms")]
                table.add_row(model, version, window, str(figures["requests"]), str(figures["failed"]), *ranks)
    console.print(table)


def errors(
    name: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Show how many requests of the current trial failed, by model and version."""
    with ModelMeshClient(url) as client:
        found = client.errors(name)
    if as_json:
        print(json_text(found))
        return
    table = Table("model", "version", "requests", "failed", "rate")
    for model, versions in found.items():
        for version, figures in versions.items():
            rate = "-" if figures["failure_rate"] is None else f"{figures['failure_rate']:.2%}"
            table.add_row(model, version, str(figures["requests"]), str(figures["failed"]), rate)
    console.print(table)


def accuracy(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Show each version's accuracy on labelled requests."""
    with ModelMeshClient(url) as client:
        found = client.accuracy(name)
    if as_json:
        print(json_text(found))
        return
    table = Table("version", "over", "labelled rows", "accuracy", "95 %", "mean absolute error")
    for version, windows in found["versions"].items():
        for window, figures in windows.items():
            accuracy, error = figures.get("accuracy"), figures.get("mean_absolute_error")
            low, high = figures.get("interval", (0.0, 0.0))
            table.add_row(
                version,
                window,
                str(figures["rows"]),
                "-" if accuracy is None else f"{accuracy:.2%}",
                "-" if accuracy is None else f"{low:.2%} to {high:.2%}",
                "-" if error is None else f"{error:.4g}",
            )
    console.print(table)


def label(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    file: Annotated[Path, typer.Argument(help="A CSV with the columns request_id and label.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Send true values by request id; `modelmesh accuracy` compares the answers with them."""
    labels = read_labels(file)
    with ModelMeshClient(url) as client:
        accepted = client.send_labels(name, labels)
    say(f"{accepted} labels sent", {"accepted": accepted}, as_json=as_json)


def watch(
    name: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Print live events until Ctrl-C."""
    with ModelMeshClient(url) as client:
        try:
            for event in client.watch(name):
                if as_json:
                    print(json_text(event), flush=True)
                else:
                    at = datetime.fromtimestamp(event.at).strftime("%H:%M:%S")
                    console.print(f"{at}  {event.kind}  {event.summary}", highlight=False, markup=False)
        except KeyboardInterrupt:
            return


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (drift, latency, errors, accuracy, label, watch):
        app.command()(command)
