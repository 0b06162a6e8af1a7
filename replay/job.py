"""Run a replay from its specification: load the version, run the time range, and write the report.

The CLI runs it in its own process; a gateway starts `replay/child.py` as a separate process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from ..broker.kafka.connection import wait_until_answers
from ..models.adapters.base import Predictor
from ..models.artifacts.authors import Signers
from ..models.artifacts.store import ArtifactStore, digest_of, fetch
from ..models.memory.budget import MemoryBudget
from ..models.proof.proof import Limits, prove_in_fresh_process
from ..models.serving_process import CompiledWithFallback, load_version
from ..registry.registry import Registry
from ..registry.storage.database import make_engine
from ..registry.version_specs import spec_of
from ..schemas.documents.replays import PROGRESS_SECONDS
from ..schemas.errors import InvalidInput
from ..schemas.payloads.profiles import Profile
from ..schemas.payloads.releases import Framework, VersionSpec
from ..schemas.settings.replay import ReplaySettings
from .folder import ReplayFolder
from .replayer import Progress, Replay, ReplayRange

BROKER_TIMEOUT = 10.0


class ReplaySpec(BaseModel):
    """What to replay. Its folder stores it; `digest` is the SHA-256 of `file`, which must be unchanged on resume."""

    model: str
    begin: float
    end: float
    version: str | None = None
    file: Path | None = None
    digest: str = ""
    labels: Path | None = None
    speed: float = 0.0
    limit: int | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ReplaySpec:
        """Return the specification that the options of `modelmesh replay` give, by name; None: not given. Raises InvalidInput."""
        given = {name: value for name, value in options.items() if value is not None}
        if "model" not in given or "from" not in given:
            raise InvalidInput("give the model by --model and the start of the time range by --from", field="model")
        if ("version" in given) == ("file" in given):
            raise InvalidInput("give either --version or --file", field="version")
        begin, end, speed = given.pop("from"), given.pop("to", None), given.pop("speed", "max")
        return cls(
            begin=_timestamp(begin, "from"),
            end=_timestamp(end, "to") if end else time.time(),
            speed=_speed(speed),
            **given,
        )


@dataclass
class ReplayJob:
    """One replay. `framework` is that of `spec.file`; `on_progress` is called every second.

    With a folder, its rows and report are written there; with `resume` it continues the replay in the folder.
    """

    settings: ReplaySettings
    spec: ReplaySpec
    framework: Framework | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    folder: ReplayFolder | None = None
    resume: bool = False
    on_progress: Callable[[dict[str, Any]], None] = lambda _: None
    _reported_at: float = 0.0

    async def run(self) -> dict[str, Any]:
        """Return the document. Raises InvalidInput, NotFound, and what loading a version raises."""
        spec = self.spec
        await wait_until_answers(self.settings, BROKER_TIMEOUT)
        predictor, profile = await self._load()
        digest = sha256(spec.file.read_bytes()).hexdigest() if spec.file is not None else ""
        if self.resume and spec.digest != digest:
            raise InvalidInput(
                f"{spec.file} has changed since this replay began: start it again without --resume", field="file"
            )
        time_range = ReplayRange(spec.model, spec.begin, spec.end, spec.limit)
        replaying = Replay(
            self.settings, time_range, predictor, profile, spec.speed, self.labels, self._report_progress
        )
        with ExitStack() as stack:
            if self.folder is not None:
                if self.resume:
                    replaying.earlier = self.folder.earlier()
                else:
                    self.folder.begin(spec.model_copy(update={"digest": digest}).model_dump(mode="json"))
                replaying.on_row = stack.enter_context(self.folder.writing())
            report = (await replaying.run()).document()
        progress = replaying.progress
        document: dict[str, Any] = {
            "model": spec.model,
            "version": spec.version or str(spec.file),
            "from": _text(spec.begin),
            "to": _text(spec.end),
            "report": report,
            # Not in the report, which is the same for each run.
            "run": {
                "seconds": round(progress.seconds, 3),
                "rate": round(_rate(progress), 1),
                "model_ms_per_request": round(1000 * replaying.model_seconds / max(1, progress.requests), 4),
            },
        }
        if self.folder is not None:
            self.folder.finish(document)
        return document

    def _report_progress(self, progress: Progress) -> None:
        if time.monotonic() > self._reported_at + PROGRESS_SECONDS:
            self._reported_at = time.monotonic()
            share = (progress.at - self.spec.begin) / (self.spec.end - self.spec.begin)
            self.on_progress(
                {"requests": progress.requests, "rate": round(_rate(progress), 1), "share": round(share, 4)}
            )

    async def _load(self) -> tuple[Predictor, Profile | None]:
        settings, replay = self.settings, self.spec
        limits, signers = Limits.from_settings(settings), Signers(settings.signers)
        engine = make_engine(settings.database_url)
        registry = Registry(engine, ArtifactStore(settings.artifacts_url))
        try:
            if replay.file is not None and self.framework is not None:
                # A file alone may not tell its inputs: the sample of the model's first version does.
                sample = list((await registry.model(replay.model)).versions[0].sample)
                return await _load_file(replay.file, self.framework, sample, settings), None
            spec = spec_of(await registry.version(replay.model, replay.version or ""))
        finally:
            await engine.dispose()

        def load(one: VersionSpec) -> Predictor:
            path = fetch(one.artifact, one.digest, settings.data / "cache")
            version_limits = signers.limits_for(limits, replay.model, one)
            return load_version(path, one, version_limits, MemoryBudget.from_settings(settings))[0]

        predictor = await asyncio.to_thread(load, spec)
        if spec.original is not None:
            predictor = CompiledWithFallback(predictor, lambda: load(spec.as_original()))
        return predictor, spec.profile


async def _load_file(file: Path, kind: Framework, sample: list[Any], settings: ReplaySettings) -> Predictor:
    """Return the predictor of a model file. Pickles are allowed, since the file is the caller's own; it still runs isolated."""
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
    return (await asyncio.to_thread(load_version, file, spec, limits, MemoryBudget.from_settings(settings)))[0]


def _rate(progress: Progress) -> float:
    return progress.requests / max(progress.seconds, 1e-9)


def _timestamp(text: str, field: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"--{field} is not a time: {text[:40]!r}; write it as 2026-11-20T10:00", field=field
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _text(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        found = float(text.removesuffix("x"))
    except ValueError:
        found = 0.0
    if found <= 0:
        raise InvalidInput(f"--speed is max or a factor such as 1x, not {text[:20]!r}", field="speed")
    return found
