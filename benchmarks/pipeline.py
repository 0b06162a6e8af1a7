"""The pipeline's scenarios, each beside the floor in the same run on the same broker."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.cli.load_targets import bodies_of, http_target, kafka_target
from modelmesh.cli.local.mesh import Mesh
from modelmesh.producers.load_generator import Ask, LoadGenerator
from modelmesh.schemas.settings import Settings
from modelmesh.sdk import AsyncModelMeshClient
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

from .floor import asking_floor

IN_FLIGHT = (1, 16, 64, 256)
RATES = (200, 500, 1000)
WARM_UP_SECONDS = 8.0
SECONDS = 8.0
Say = Callable[[str], None]


def forest(trees: int, rows: int = 4000, **options: Any) -> tuple[RandomForestClassifier, Any]:
    """A forest on 30 features, and rows to ask it with."""
    features, labels = make_classification(rows, 30, n_informative=20, random_state=0)
    return RandomForestClassifier(trees, random_state=0, n_jobs=-1, **options).fit(features, labels), features[:500]


@contextlib.asynccontextmanager
async def temporary_mesh(workers: int = 2, **settings: Any) -> AsyncIterator[Mesh]:
    """A mesh in a folder that goes with it; its deadline is long enough for 5,000 requests at once."""
    with tempfile.TemporaryDirectory(prefix="modelmesh-bench-") as folder:
        async with Mesh(
            Settings(data=Path(folder), port=0, deadline=60.0, **settings),
            workers=workers,
            external_kafka=False,
            progress=no_progress,
            on_restart=lambda member, code: None,
        ) as mesh:
            yield mesh


async def run(say: Say) -> dict[str, Any]:
    """Run everything; return the figures by scenario."""
    model, rows = forest(100, max_depth=8)
    bodies = bodies_of(rows.tolist())
    async with temporary_mesh() as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
        say(f"mesh ready after {mesh.ready_seconds:.1f} s; registering forests")
        await sdk.register_model("compiled", model, sample=rows[:20])
        paths: dict[str, Any] = {
            "floor": asking_floor(mesh.settings.kafka, bodies[0]),
            "kafka": kafka_target(mesh.settings, "compiled", bodies),
            "http": http_target(mesh.url, "compiled", bodies),
        }
        async with contextlib.AsyncExitStack() as stack:
            asks = {name: await stack.enter_async_context(path) for name, path in paths.items()}
            figures = await _closed_and_open(asks, say)
        figures["batching"] = await _batching(mesh, sdk, model, rows, say)
        figures["first_prediction"] = await _first_prediction(sdk, say)
        return figures


async def _closed_and_open(asks: dict[str, Ask], say: Say) -> dict[str, Any]:
    for name, ask in asks.items():
        say(f"warming up {name}")
        await LoadGenerator(ask).in_flight(64, seconds=WARM_UP_SECONDS)
    closed: dict[str, Any] = {}
    # At each level the paths take turns, so that a slow minute of the machine affects all of them alike.
    for count in IN_FLIGHT:
        for name, ask in asks.items():
            found = (await LoadGenerator(ask).in_flight(count, seconds=SECONDS)).summary()
            closed.setdefault(name, {})[str(count)] = found
            say(f"{name}, {count} in flight: {_line(found)}")
    opened: dict[str, Any] = {}
    for rate in RATES:
        for name, ask in asks.items():
            found = (await LoadGenerator(ask).at_rate(rate, seconds=SECONDS)).summary()
            opened.setdefault(name, {})[str(rate)] = found
            say(f"{name}, {rate}/s: {_line(found)}")
    at_once: dict[str, Any] = {}
    for name, ask in asks.items():
        at_once[name] = (await LoadGenerator(ask).in_flight(5000, requests=5000)).summary()
        say(f"{name}, 5,000 at once: {_line(at_once[name])}")
    return {"in_flight": closed, "at_rate": opened, "at_once": at_once}


async def _batching(mesh: Mesh, sdk: AsyncModelMeshClient, model: Any, rows: Any, say: Say) -> dict[str, Any]:
    """The same forest as scikit-learn runs it, one by one and batched, and compiled."""
    await sdk.register_model("one-by-one", model, sample=rows[:20], compile=False, batching={"max_batch_size": 1})
    await sdk.register_model("batched", model, sample=rows[:20], compile=False)
    figures = {}
    for name in ("one-by-one", "batched", "compiled"):
        async with kafka_target(mesh.settings, name, bodies_of(rows.tolist())) as ask:
            await LoadGenerator(ask).in_flight(64, seconds=2)
            figures[name] = (await LoadGenerator(ask).in_flight(64, seconds=SECONDS)).summary()
        say(f"{name}: {_line(figures[name])}")
    return figures


async def _first_prediction(sdk: AsyncModelMeshClient, say: Say) -> dict[str, Any]:
    """A large forest, from the call that registers it to its first answer, and that the answer is right."""
    import joblib

    model, rows = forest(420, rows=8000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.joblib"
        joblib.dump(model, path)
        megabytes = path.stat().st_size / 1e6
        began = time.perf_counter()
        registered = await sdk.register_model("large", path, sample=rows[:20])
        answer = await sdk.predict("large", rows[0])
        seconds = time.perf_counter() - began
    if not np.allclose(answer.probabilities, model.predict_proba(rows[:1])[0], rtol=0, atol=1e-5):
        raise SystemExit("the large forest answered differently from the model itself")
    say(f"a forest of {megabytes:.0f} MB answers {seconds:.2f} s after the call that registers it")
    return {
        "megabytes": round(megabytes, 1), "seconds": round(seconds, 2), "served_as": registered["version"]["served_as"]
    }  # fmt: skip


def _line(found: dict[str, Any]) -> str:
    return (
        f"{found['rate']:.0f}/s, p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms, "
        f"mean batch {found['mean_batch']}, errors {found['errors'] or 0}"
    )
