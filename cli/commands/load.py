"""`modelmesh load`: generate load on a model and report rate, latencies and errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...models.proof.infer_signature import make_rows
from ...producers.load_generator import LoadGenerator, LoadReport
from ...schemas.errors import InvalidInput
from ...schemas.settings.client import ClientSettings
from ...sdk import AsyncModelMeshClient
from ..load_targets import bodies_of, http_target, kafka_target
from ..options import DEFAULT_URL, UrlOption
from .models import read_json

console = Console(stderr=True)


def load(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second, independent of the answers (open loop).")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight, without --rate.")] = 64,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 10.0,
    inputs: Annotated[
        str | None, typer.Option(help="Rows to send in turn, as JSON or @file; default: generated.")
    ] = None,
    kafka: Annotated[bool, typer.Option("--kafka", help="Directly over MODELMESH_KAFKA instead of HTTP.")] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Send requests for a while; print rate, latencies and errors. Exit code 1 if there were errors."""
    rows = read_json(inputs, "inputs") if inputs else None
    if rows is not None and (not isinstance(rows, list) or not rows):
        raise InvalidInput("inputs must be a list of rows, one at least", field="inputs")
    report = uvloop.run(_load(model, rate, concurrency, duration, rows, kafka, url))
    summary = report.summary()
    if as_json:
        print(json.dumps(summary))
    else:
        Console().print(report_table(summary))
    if report.errors:
        raise typer.Exit(1)


async def _load(
    model: str, rate: float | None, concurrency: int, duration: float, rows: list[Any] | None, kafka: bool, url: str
) -> LoadReport:
    if rows is None:
        rows = await _made_up_rows(url, model)
    bodies = bodies_of(rows)
    target = kafka_target(ClientSettings(), model, bodies) if kafka else http_target(url, model, bodies)
    async with target as ask:
        generator = LoadGenerator(ask)
        watching = asyncio.create_task(_show(generator.report, duration))
        try:
            if rate is not None:
                return await generator.at_rate(rate, seconds=duration)
            return await generator.in_flight(concurrency, seconds=duration)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _made_up_rows(url: str, model: str) -> list[Any]:
    """Return one row that fits the newest version's signature."""
    async with AsyncModelMeshClient(url) as client:
        signature = (await client.versions(model))[-1].signature
    return make_rows(signature.inputs, 1)


async def _show(report: LoadReport, duration: float) -> None:
    began = time.perf_counter()
    with (
        contextlib.suppress(asyncio.CancelledError),
        Live(console=console, refresh_per_second=4, transient=True) as live,
    ):
        while True:
            await asyncio.sleep(0.25)
            passed = time.perf_counter() - began
            live.update(
                Text(
                    f"  {passed:.0f} of {duration:g} s: {report.answered} answered, {report.answered / passed:.0f}/s, "
                    f"{report.sent - report.answered - report.errors.total()} in flight, {report.errors.total()} errors"
                )
            )


def report_table(summary: dict[str, Any]) -> Table:
    """Return the report as a table of two columns."""
    table = Table(show_header=False)
    for name, value in summary.items():
        shown = ", ".join(f"{code}: {count}" for code, count in value.items()) or "none" if name == "errors" else value
        table.add_row(name.replace("_ms", " ms").replace("_", " "), str(shown))
    return table


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(load)
