"""`modelmesh replay`: what a version would have answered to the requests of a while ago."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ...broker.kafka.connection import wait_until_answers
from ...models.adapters.base import Predictor
from ...models.artifacts.authors import Signers
from ...models.artifacts.store import ArtifactStore, digest_of, fetch
from ...models.memory.room import Room
from ...models.proof.proof import Limits, prove_in_fresh_process
from ...models.serving_process import WithOriginal, load_version
from ...registry.registry import Registry
from ...registry.storage.database import make_engine
from ...registry.version_specs import spec_of
from ...replay.folder import ReplayFolder
from ...replay.replayer import Progress as HowFar
from ...replay.replayer import Replay, Stretch
from ...schemas.errors import InvalidInput
from ...schemas.payloads.profiles import Profile
from ...schemas.payloads.releases import Framework, VersionSpec
from ...schemas.settings import Settings
from ...sdk.model_file import framework_of_file
from ..label_file import read_labels

BROKER_TIMEOUT = 10.0
console = Console()


def replay(
    model: Annotated[str | None, typer.Option(help="Whose requests.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="From this moment, such as 2026-11-20T10:00 (UTC unless it says).")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="To this moment; else to now.")] = None,
    version: Annotated[str | None, typer.Option(help="The registered version to ask.")] = None,
    file: Annotated[Path | None, typer.Option(help="A model that is only a file, in its place.")] = None,
    speed: Annotated[str, typer.Option(help="max, or so many times the recorded rate: 1x, 10x.")] = "max",
    limit: Annotated[int | None, typer.Option(min=1, help="So many requests at most.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A CSV with request_id and label: what was right.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for report.json, report.html and rows.jsonl.")] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="The rows as rows.parquet too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the replay that --out holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Run recorded requests against a version, away from production, and compare the answers with those given."""
    if (resume or parquet) and out is None:
        raise InvalidInput("name the folder by --out", field="out")
    folder = ReplayFolder(out) if out is not None else None
    if resume and folder is not None:
        asked = Asked.model_validate(folder.asked())
    else:
        if model is None or begin is None:
            raise InvalidInput("say whose requests by --model and since when by --from", field="model")
        if (version is None) == (file is None):
            raise InvalidInput("name a --version or a --file, one of the two", field="version")
        asked = Asked(
            model=model,
            begin=_moment(begin, "from"),
            end=_moment(end, "to") if end else time.time(),
            version=version,
            file=file.resolve() if file is not None else None,
            labels=labels.resolve() if labels is not None else None,
            speed=_speed(speed),
            limit=limit,
        )
    document = asyncio.run(_run(asked, folder, resume=resume, quiet=as_json))
    if folder is not None and parquet:
        folder.write_parquet()
    if as_json:
        print(json.dumps(document))
    else:
        _show(document)
        if out is not None:
            console.print(f"report: {out / 'report.html'}", highlight=False)


class Asked(BaseModel):
    """What a replay was asked for, as its folder keeps it; `digest` is the file's, which must not change meanwhile."""

    model: str
    begin: float
    end: float
    version: str | None = None
    file: Path | None = None
    digest: str = ""
    labels: Path | None = None
    speed: float = 0.0
    limit: int | None = None


async def _run(asked: Asked, folder: ReplayFolder | None, *, resume: bool, quiet: bool) -> dict[str, Any]:
    settings = Settings()
    labels = read_labels(asked.labels) if asked.labels is not None else {}
    await wait_until_answers(settings, BROKER_TIMEOUT)
    predictor, profile = await _load(settings, asked)
    digest = sha256(asked.file.read_bytes()).hexdigest() if asked.file is not None else ""
    if resume and asked.digest != digest:
        raise InvalidInput(f"{asked.file} is not the file that this replay began with: begin again", field="file")
    stretch = Stretch(asked.model, asked.begin, asked.end, asked.limit)
    with ExitStack() as stack:
        bar = stack.enter_context(_bar(quiet))
        task = bar.add_task(stretch.model, total=stretch.end - stretch.begin)
        told = 0.0

        def show(so_far: HowFar) -> None:
            nonlocal told
            rate = so_far.requests / max(so_far.seconds, 1e-9)
            bar.update(
                task, completed=so_far.at - stretch.begin, description=f"{so_far.requests} requests, {rate:.0f}/s"
            )
            if folder is not None and time.monotonic() > told + 1:
                told = time.monotonic()
                share = (so_far.at - stretch.begin) / (stretch.end - stretch.begin)
                folder.say({"requests": so_far.requests, "rate": round(rate, 1), "share": round(share, 4)})

        replaying = Replay(settings, stretch, predictor, profile, asked.speed, labels, show)
        if folder is not None:
            if resume:
                replaying.earlier = folder.earlier()
            else:
                folder.begin(asked.model_copy(update={"digest": digest}).model_dump(mode="json"))
            replaying.on_row = stack.enter_context(folder.writing())
        report = (await replaying.run()).document()
    how_far = replaying.progress
    document: dict[str, Any] = {
        "model": asked.model,
        "version": asked.version or str(asked.file),
        "from": _text(asked.begin),
        "to": _text(asked.end),
        "report": report,
        # Beside the report, which is the same each time: how long this run took.
        "run": {
            "seconds": round(how_far.seconds, 3),
            "rate": round(how_far.requests / max(how_far.seconds, 1e-9), 1),
            "model_ms_per_request": round(1000 * replaying.model_seconds / max(1, how_far.requests), 4),
        },
    }
    if folder is not None:
        folder.finish(document)
    return document


async def _load(settings: Settings, asked: Asked) -> tuple[Predictor, Profile | None]:
    limits, signers = Limits.from_settings(settings), Signers(settings.signers)
    file, model, version = asked.file, asked.model, asked.version
    if file is not None:
        if not file.is_file():
            raise InvalidInput(f"there is no file {file}", field="file")
        kind = framework_of_file(file)
        return await _load_file(file, kind, await _sample(settings, model), settings), None
    engine = make_engine(settings.database_url)
    try:
        spec = spec_of(await Registry(engine, ArtifactStore(settings.artifacts_url)).version(model, version or ""))
    finally:
        await engine.dispose()

    def load(one: VersionSpec) -> Predictor:
        path = fetch(one.artifact, one.digest, settings.data / "cache")
        return load_version(path, one, signers.limits_for(limits, model, one), Room.from_settings(settings))[0]

    predictor = await asyncio.to_thread(load, spec)
    if spec.original is not None:
        predictor = WithOriginal(predictor, lambda: load(spec.as_original()))
    return predictor, spec.profile


async def _load_file(file: Path, kind: Framework, sample: list[Any], settings: Settings) -> Predictor:
    """Return a model that is only a file. It is the caller's own, so code is taken; like any other it runs isolated."""
    limits = replace(Limits.from_settings(settings), allow_pickles=True)
    with TemporaryDirectory() as folder:
        proof = await prove_in_fresh_process(
            file, kind, None, sample, False, Path(folder) / "compiled", limits=limits, timeout=settings.proof_timeout
        )
    spec = VersionSpec(
        version="file",
        framework=kind,
        served_as=kind,
        artifact=str(file),
        digest=await asyncio.to_thread(digest_of, file),
        signature=proof.signature,
        sample=proof.sample,
    )
    return (await asyncio.to_thread(load_version, file, spec, limits, Room.from_settings(settings)))[0]


async def _sample(settings: Settings, model: str) -> list[Any]:
    """Rows from the model's first version: a file alone may not say what it takes."""
    engine = make_engine(settings.database_url)
    try:
        row = await Registry(engine, ArtifactStore(settings.artifacts_url)).model(model)
        return list(row.versions[0].sample)
    finally:
        await engine.dispose()


def _bar(quiet: bool) -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet,
    )


def _moment(text: str, field: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"--{field} is no moment: {text[:40]!r}; write it as 2026-11-20T10:00", field=field
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        found = float(text.removesuffix("x"))
    except ValueError:
        found = 0.0
    if found <= 0:
        raise InvalidInput(f"--speed is max, or a number of times such as 1x: not {text[:20]!r}", field="speed")
    return found


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
