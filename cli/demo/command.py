"""`modelmesh demo`: start a temporary mesh, check its predictions, and run canaries and a shadow."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from ...broker.embedded.server import free_port
from ...producers.client import PredictionClient
from ...producers.load_generator import LoadGenerator
from ...schemas.errors import ModelMeshError
from ...schemas.settings import Settings
from ...sdk import AsyncModelMeshClient
from ..load_targets import bodies_of, http_target
from ..local.commands import say_restart
from ..local.mesh import Mesh
from ..progress_bar import TerminalProgress

if TYPE_CHECKING:
    from .models import Trained

console = Console()
IN_FLIGHT = 64
BURST_SECONDS = 5.0


@dataclass
class Comparison:
    """How many answers were equal to the local model's, and the first few that were not."""

    equal: int = 0
    total: int = 0
    different: list[str] = field(default_factory=list)


def demo() -> None:
    """Start a mesh in a temporary folder, serve three models, check every answer, release new versions, and stop.

    Exit code 1 if an answer or the outcome of a release differs from what is expected.
    """
    comparison = uvloop.run(_until_interrupted(_demo))
    if comparison is None:
        console.print("interrupted; everything is stopped", style="yellow")
        raise typer.Exit(130)
    if comparison.equal != comparison.total:
        for line in comparison.different:
            console.print(f"  {line}", style="red", markup=False)
        raise typer.Exit(1)


async def _until_interrupted(work: Callable[[], Awaitable[Comparison]]) -> Comparison | None:
    """Await `work`; on Ctrl-C or SIGTERM, cancel it and return None after its clean-up."""
    task = asyncio.ensure_future(work())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return None


@contextlib.asynccontextmanager
async def _temporary_mesh() -> AsyncIterator[Mesh]:
    with tempfile.TemporaryDirectory(prefix="modelmesh-demo-") as folder:
        settings = Settings(data=Path(folder), host="127.0.0.1", port=free_port(8000))
        progress = TerminalProgress(console)
        async with Mesh(settings, workers=2, external_kafka=False, progress=progress, on_restart=say_restart) as mesh:
            yield mesh


async def _demo() -> Comparison:
    console.print("ModelMesh demo: a real Kafka, two workers, three models", style="bold")
    async with _temporary_mesh() as mesh:
        console.print("  training three models ...", style="dim")
        # Imported here, since scikit-learn is slow to import.
        from .models import train_models
        from .releases import run_releases

        models = await asyncio.to_thread(train_models)
        async with AsyncModelMeshClient(mesh.url) as http, PredictionClient(mesh.settings) as kafka:
            to_first = {model.name: await _register(http, model) for model in models}
            comparison = await _compare_all(models, http, kafka)
        console.print(f"  a burst of {BURST_SECONDS:.0f} s, {IN_FLIGHT} requests in flight over HTTP ...", style="dim")
        burst = await _burst(mesh.url, models[0])
        console.print(_results(mesh, to_first, comparison, burst))
        payments = models[-1]
        async with AsyncModelMeshClient(mesh.url) as http, PredictionClient(mesh.settings) as kafka:
            failures = await run_releases(http, kafka, payments, console)
        comparison.different += failures
        comparison.total += len(failures)
        console.print(f"API {mesh.url}/docs   health {mesh.url}/health   metrics {mesh.url}/metrics", highlight=False)
        console.print("`make up` keeps a mesh running.")
        return comparison


async def _register(client: AsyncModelMeshClient, trained: Trained) -> float:
    """Register a model; return the seconds until its first prediction."""
    console.print(f"  registering {trained.name} ({trained.description}) ...", style="dim", highlight=False)
    began = time.perf_counter()
    await client.register_model(trained.name, trained.model, sample=trained.rows[:20], data=trained.reference)
    await client.predict(trained.name, trained.rows[0])
    return time.perf_counter() - began


async def _compare_all(models: list[Trained], http: AsyncModelMeshClient, kafka: PredictionClient) -> Comparison:
    """Predict every held-out row over HTTP and over Kafka, and compare each answer with the local model's."""
    comparison = Comparison()
    in_flight = asyncio.Semaphore(IN_FLIGHT)
    total = 2 * sum(len(model.rows) for model in models)

    async def over_http(model: Trained, row: Any) -> dict[str, list[Any]]:
        return (await http.predict(model.name, row)).outputs

    async def over_kafka(model: Trained, row: Any) -> dict[str, list[Any]]:
        outputs: dict[str, list[Any]] = (await kafka.predict(model.name, row))["outputs"]
        return outputs

    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("  checking every held-out row", total=total)

        async def one(
            model: Trained, number: int, predict: Callable[[Trained, Any], Awaitable[dict[str, Any]]]
        ) -> None:
            async with in_flight:
                comparison.total += 1
                try:
                    answer: object = await predict(model, model.rows[number])
                except ModelMeshError as error:
                    answer = error.detail
            bar.advance(task)
            if isinstance(answer, dict) and model.agrees(number, answer):
                comparison.equal += 1
            elif len(comparison.different) < 10:
                expected = model.labels[number]
                comparison.different.append(f"{model.name} row {number}: {answer}, the local model says {expected}")

        await asyncio.gather(
            *(
                one(model, number, predict)
                for model in models
                for number in range(len(model.rows))
                for predict in (over_http, over_kafka)
            )
        )
    return comparison


async def _burst(url: str, model: Trained) -> dict[str, Any]:
    async with http_target(url, model.name, bodies_of(model.rows)) as ask:
        return (await LoadGenerator(ask).in_flight(IN_FLIGHT, seconds=BURST_SECONDS)).summary()


def _results(mesh: Mesh, to_first: dict[str, float], comparison: Comparison, burst: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    table.add_row("Kafka answers after", f"{mesh.broker_seconds:.1f} s")
    table.add_row("everything ready after", f"{mesh.ready_seconds:.1f} s")
    for name, seconds in to_first.items():
        table.add_row(f"register to first prediction, {name}", f"{seconds:.2f} s")
    verdict = "all equal" if comparison.equal == comparison.total else "DIFFERENT"
    table.add_row("answers equal to the model's own", f"{comparison.equal} / {comparison.total}  {verdict}")
    table.add_row("requests per second", f"{burst['rate']:.0f}")
    table.add_row("latency", f"p50 {burst['p50_ms']:.1f} ms, p99 {burst['p99_ms']:.1f} ms")
    table.add_row("mean batch", f"{burst['mean_batch']} rows")
    if burst["errors"]:
        table.add_row("errors", str(burst["errors"]))
    return table


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)
