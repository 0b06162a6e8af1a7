"""`modelmesh top`: the dashboard in a terminal."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from ...schemas.documents.monitoring import State
from ...sdk import ModelMeshClient
from ..options import DEFAULT_URL, JsonOption, UrlOption, json_text

console = Console()


def top(
    url: UrlOption = DEFAULT_URL,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two updates.")] = 1.0,
    once: Annotated[bool, typer.Option(help="Print once and exit.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show models and replicas live, until Ctrl-C."""
    with ModelMeshClient(url) as client:
        state = client.dashboard_state()
        if as_json:
            print(json_text(state))
            return
        if once:
            console.print(tables(state, None))
            return
        try:
            with Live(tables(state, None), console=console, screen=True) as live:
                while True:
                    time.sleep(every)
                    before, state = state, client.dashboard_state()
                    live.update(tables(state, before))
        except KeyboardInterrupt:
            pass


def tables(state: State, before: State | None) -> RenderableType:
    """Return the tables of models and replicas; rates are since the previous state."""
    seconds = state.at - before.at if before else 0.0
    counted = {replica["replica"]: replica["answered"] for replica in before.replicas} if before else {}
    models = Table(
        "model", "strategy", "version", "share", "requests", "failed", "p50 ms", "p99 ms", "drift", title="models"
    )
    for model in state.models:
        for variant in model["variants"]:
            figures = model["versions"].get(variant["version"], {})
            latency, rate = figures.get("latency_ms") or {}, figures.get("failure_rate")
            drifting = model["drift"].get(variant["version"], {}).get("drifting")
            models.add_row(
                model["name"],
                model["strategy"],
                f"{variant['version']} ({variant['role']})",
                f"{variant['weight']:.0%}",
                str(figures.get("requests", 0)),
                "" if rate is None else f"{rate:.2%}",
                _number(latency.get("p50")),
                _number(latency.get("p99")),
                "[red]yes[/red]" if drifting else "",
            )
    replicas = Table(
        "replica", "role", "answers/s", "waiting", "in the model", "batch ms", "breakers", title="replicas"
    )
    for replica in state.replicas:
        answered = replica["answered"] - counted.get(replica["replica"], replica["answered"])
        replicas.add_row(
            replica["replica"],
            replica["role"],
            f"{max(0, answered) / seconds:.0f}" if seconds else "",
            str(replica["queued"]),
            str(replica["in_service"]),
            _number(replica["service_ms"]),
            ", ".join(f"{each['model']} {each['version']} {each['state']}" for each in replica["breakers"]),
        )
    return Group(models, replicas)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(top)
