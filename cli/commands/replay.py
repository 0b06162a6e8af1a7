"""`modelmesh replay`: run recorded requests against another version."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ...replay.folder import ReplayFolder
from ...replay.job import ReplayJob, ReplaySpec
from ...schemas.errors import InvalidInput
from ...schemas.settings.replay import ReplaySettings
from ...sdk.model_file import framework_of_file
from ..label_file import read_labels

console = Console()


def replay(
    model: Annotated[str | None, typer.Option(help="The model whose requests are replayed.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="Start of the time range, such as 2026-11-20T10:00 (UTC by default).")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the time range; default: now.")] = None,
    version: Annotated[str | None, typer.Option(help="The registered version to run.")] = None,
    file: Annotated[Path | None, typer.Option(help="A model file, instead of --version.")] = None,
    speed: Annotated[str, typer.Option(help="max, or a multiple of the recorded rate: 1x, 10x.")] = "max",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of requests.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A CSV file with the columns request_id and label.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for report.json, report.html and rows.jsonl.")] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write the rows as rows.parquet too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the replay in the folder --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Run recorded requests against a version, outside production, and compare its answers with the recorded ones."""
    if (resume or parquet) and out is None:
        raise InvalidInput("name the folder with --out", field="out")
    folder = ReplayFolder(out) if out is not None else None
    if resume and folder is not None:
        spec = ReplaySpec.model_validate(folder.spec())
    else:
        spec = ReplaySpec.from_options(
            {
                "model": model,
                "from": begin,
                "to": end,
                "version": version,
                "file": file.resolve() if file is not None else None,
                "speed": speed,
                "limit": limit,
                "labels": labels.resolve() if labels is not None else None,
            }
        )
    document = asyncio.run(_run(spec, folder, resume=resume, quiet=as_json))
    if folder is not None and parquet:
        folder.write_parquet()
    if as_json:
        print(json.dumps(document))
    else:
        _show(document)
        if out is not None:
            console.print(f"report: {out / 'report.html'}", highlight=False)


async def _run(spec: ReplaySpec, folder: ReplayFolder | None, *, resume: bool, quiet: bool) -> dict[str, Any]:
    if spec.file is not None and not spec.file.is_file():
        raise InvalidInput(f"there is no file {spec.file}", field="file")
    framework = framework_of_file(spec.file) if spec.file is not None else None
    labels = read_labels(spec.labels) if spec.labels is not None else {}
    with _bar(quiet) as bar:
        task = bar.add_task(spec.model, total=1.0)

        def show(progress: dict[str, Any]) -> None:
            text = f"{progress['requests']} requests, {progress['rate']:.0f}/s"
            bar.update(task, completed=progress["share"], description=text)

        return await ReplayJob(ReplaySettings(), spec, framework, labels, folder, resume, show).run()


def _bar(quiet: bool) -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet,
    )


def _show(document: dict[str, Any]) -> None:
    report, run = document["report"], document["run"]
    agreement = report["agreement"]
    console.print(
        f"{document['model']} {document['version']}: {report['requests']} requests from {document['from']} to {document['to']}, "
        f"{run['rate']:.0f}/s",
        highlight=False,
    )
    if agreement["compared"]:
        low, high = agreement["interval"]
        console.print(
            f"agreement: {agreement['share']:.2%} of {agreement['compared']} (95 %: {low:.2%} to {high:.2%})",
            highlight=False,
        )
    for name in ("unreadable", "failed", "without_reply", "recorded_errors"):
        if report[name]:
            console.print(f"{name.replace('_', ' ')}: {report[name]}", highlight=False)
    for change in report["label_changes"][:5]:
        console.print(
            f"label {change['from']} became {change['to']}: {change['count']} times", highlight=False, markup=False
        )
    for who, truth in report.get("truth", {}).items():
        figures = [
            f"{name.replace('_', ' ')} {truth[name]:.4g}"
            for name in ("accuracy", "mean_absolute_error")
            if name in truth
        ]
        console.print(f"{who}: {', '.join(figures)} on {truth['rows']} labelled rows", highlight=False)
    for drift in report.get("drift", ())[:3]:
        console.print(f"drift of {drift['feature']}: PSI {drift['psi']:.3f}", highlight=False, markup=False)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(replay)
