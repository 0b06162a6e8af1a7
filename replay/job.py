"""A replay from what was asked for to its document: the version is loaded, the time range is run, the report is written.

The command runs it in its own process; a gateway has `replay/child.py` run it in one beside itself.
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
from ..schemas.errors import InvalidInput
from ..schemas.payloads.profiles import Profile
from ..schemas.payloads.releases import Framework, VersionSpec
from ..schemas.settings.replay import ReplaySettings
from .folder import ReplayFolder
from .replayer import Progress, Replay, ReplayRange

BROKER_TIMEOUT = 10.0
EVERY = 1.0  # seconds between two words about how far a replay is


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

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Asked:
        """Return what the options of `modelmesh replay` ask for, by their names; None is not given. Raises InvalidInput."""
        given = {name: value for name, value in options.items() if value is not None}
        if "model" not in given or "from" not in given:
            raise InvalidInput("say whose requests by --model and since when by --from", field="model")
        if ("version" in given) == ("file" in given):
            raise InvalidInput("name a --version or a --file, one of the two", field="version")
        begin, end, speed = given.pop("from"), given.pop("to", None), given.pop("speed", "max")
        return cls(
            begin=_moment(begin, "from"), end=_moment(end, "to") if end else time.time(), speed=_speed(speed), **given
        )


@dataclass
class ReplayJob:
    """One replay. `framework` is that of `asked.file`; `on_progress` hears every second how far the replay is.

    With a folder its rows and report are written there; with `resume` it goes on with the replay that the folder holds.
    """

    settings: ReplaySettings
    asked: Asked
    framework: Framework | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    folder: ReplayFolder | None = None
    resume: bool = False
    on_progress: Callable[[dict[str, Any]], None] = lambda _: None
    _told: float = 0.0

    async def run(self) -> dict[str, Any]:
        """Return the document. Raises InvalidInput, NotFound, and what loading a version raises."""
        asked = self.asked
        await wait_until_answers(self.settings, BROKER_TIMEOUT)
        predictor, profile = await self._load()
        digest = sha256(asked.file.read_bytes()).hexdigest() if asked.file is not None else ""
        if self.resume and asked.digest != digest:
            raise InvalidInput(f"{asked.file} is not the file that this replay began with: begin again", field="file")
        asked_range = ReplayRange(asked.model, asked.begin, asked.end, asked.limit)
        replaying = Replay(self.settings, asked_range, predictor, profile, asked.speed, self.labels, self._tell)
        with ExitStack() as stack:
            if self.folder is not None:
                if self.resume:
                    replaying.earlier = self.folder.earlier()
                else:
                    self.folder.begin(asked.model_copy(update={"digest": digest}).model_dump(mode="json"))
                replaying.on_row = stack.enter_context(self.folder.writing())
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
                "rate": round(_rate(how_far), 1),
                "model_ms_per_request": round(1000 * replaying.model_seconds / max(1, how_far.requests), 4),
            },
        }
        if self.folder is not None:
            self.folder.finish(document)
        return document

    def _tell(self, so_far: Progress) -> None:
        if time.monotonic() > self._told + EVERY:
            self._told = time.monotonic()
            share = (so_far.at - self.asked.begin) / (self.asked.end - self.asked.begin)
            self.on_progress({"requests": so_far.requests, "rate": round(_rate(so_far), 1), "share": round(share, 4)})

    async def _load(self) -> tuple[Predictor, Profile | None]:
        settings, asked = self.settings, self.asked
        limits, signers = Limits.from_settings(settings), Signers(settings.signers)
        engine = make_engine(settings.database_url)
        registry = Registry(engine, ArtifactStore(settings.artifacts_url))
        try:
            if asked.file is not None and self.framework is not None:
                # A file alone may not say what it takes: the model's first version does.
                sample = list((await registry.model(asked.model)).versions[0].sample)
                return await _load_file(asked.file, self.framework, sample, settings), None
            spec = spec_of(await registry.version(asked.model, asked.version or ""))
        finally:
            await engine.dispose()

        def load(one: VersionSpec) -> Predictor:
            path = fetch(one.artifact, one.digest, settings.data / "cache")
            limits_of_it = signers.limits_for(limits, asked.model, one)
            return load_version(path, one, limits_of_it, MemoryBudget.from_settings(settings))[0]

        predictor = await asyncio.to_thread(load, spec)
        if spec.original is not None:
            predictor = CompiledWithFallback(predictor, lambda: load(spec.as_original()))
        return predictor, spec.profile


async def _load_file(file: Path, kind: Framework, sample: list[Any], settings: ReplaySettings) -> Predictor:
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
    return (await asyncio.to_thread(load_version, file, spec, limits, MemoryBudget.from_settings(settings)))[0]


def _rate(so_far: Progress) -> float:
    return so_far.requests / max(so_far.seconds, 1e-9)


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
