"""Releases on the real pipeline: how fast a bad candidate goes, what a shadow costs, what judging costs."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import psutil
from modelmesh.broker.kafka.topic_follower import TopicFollower
from modelmesh.cli.load_targets import bodies_of, kafka_target
from modelmesh.cli.local.mesh import Mesh
from modelmesh.producers.client import PredictionClient
from modelmesh.producers.load_generator import LoadGenerator
from modelmesh.schemas import records
from modelmesh.sdk import AsyncModelMeshClient

from .models.chaos_models import SAMPLE, chaos_model
from .pipeline import Say, temporary_mesh

RUNS = 30
RATE = 200
GOOD_SECONDS = 2.0
SHADOW_ROUNDS = 6
SHADOW_SECONDS = 10.0
COST_SECONDS = 20.0
COST_RATES = (100, 2000)
# 3 microseconds each: 2 ms for stable, 10 ms for the candidate that is five times slower.
ITERATIONS = 700
CHAOS: dict[str, dict[str, Any]] = {
    "fails on half": {"candidate": {"fails": True}, "flagged": 0.5},
    "always fails": {"candidate": {"fails": True}, "flagged": 1.0},
    "5 times slower": {
        "stable": {"iterations": ITERATIONS},
        "candidate": {"iterations": ITERATIONS, "slow_iterations": 4 * ITERATIONS},
        "flagged": 1.0,
    },
}


async def run(say: Say, parts: list[str]) -> dict[str, Any]:
    """Run the parts; return their figures."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with temporary_mesh() as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
            register = Registrar(sdk, Path(folder))
            if "chaos" in parts:
                figures["chaos"] = {
                    name: await chaos(mesh, sdk, register, name, options, say) for name, options in CHAOS.items()
                }
            if "shadow" in parts:
                figures["shadow"] = await shadow(mesh, sdk, register, say)
            if "control_cost" in parts:
                figures["control_cost"] = await control_cost(mesh, register, say)
            if "drift" in parts:
                figures["drift"] = await drift(mesh, sdk, register, say)
    return figures


class Registrar:
    """Registers chaos models: each set of options is a version."""

    def __init__(self, sdk: AsyncModelMeshClient, folder: Path) -> None:
        self._sdk = sdk
        self._folder = folder

    async def __call__(self, model: str, *versions: dict[str, Any], **options: Any) -> str:
        for number, behaviour in enumerate(versions, 1):
            path = chaos_model(self._folder / f"{model}-{number}.onnx", **behaviour)
            await self._sdk.register_model(model, path, sample=SAMPLE, version=f"{number}.0.0", **options)
        return model


@dataclass
class Routed:
    """What the router wrote to a model's topic: when the candidate first got a flagged request, and its last request."""

    first_bad: float = 0.0
    last: float = 0.0
    bad: int = 0

    def on_record(self, record: Any) -> None:
        """Take in a routed request."""
        headers = dict(record.headers)
        if headers.get(records.VERSION) != b"2.0.0":
            return
        self.last = record.timestamp / 1000
        if orjson.loads(record.value)["inputs"][0]:
            self.first_bad = self.first_bad or self.last
            self.bad += 1


@dataclass
class Callers:
    """Requests over HTTP at a steady rate, a share of them flagged; every answer is checked."""

    flagged: float = 0.0
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    async def ask(self, session: aiohttp.ClientSession, url: str, number: int) -> None:
        body = orjson.dumps({"inputs": [1.0 if random.random() < self.flagged else 0.0, float(number)]})
        async with session.post(url, data=body) as response:
            answer = orjson.loads(await response.read())
        if response.status == 200 and answer["outputs"]["value"] == [2.0 * number]:
            self.answered += 1
        else:
            self.failures.append(str(answer))

    async def run(self, url: str, rate: float) -> None:
        """Ask until cancelled, then wait for the answers."""
        tasks: set[asyncio.Task[None]] = set()
        began, sent = time.perf_counter(), 0
        async with aiohttp.ClientSession() as session:
            try:
                while True:
                    await asyncio.sleep(max(0.0, began + sent / rate - time.perf_counter()))
                    task = asyncio.create_task(self.ask(session, url, sent % 1000))
                    sent += 1
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            finally:
                await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def following(mesh: Mesh, model: str) -> AsyncIterator[Routed]:
    """Follow what is routed to a model from now on."""
    routed = Routed()
    follower = TopicFollower(mesh.settings, mesh.settings.topics().model(model), routed.on_record, from_end=True)
    task = asyncio.create_task(follower.run())
    await follower.ready.wait()
    try:
        yield routed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def chaos(
    mesh: Mesh, sdk: AsyncModelMeshClient, register: Registrar, name: str, options: dict[str, Any], say: Say
) -> dict[str, Any]:
    """Let a candidate go bad many times; seconds from its first bad request to the last that it was sent."""
    model = await register("chaos-" + name.replace(" ", "-"), options.get("stable", {}), options["candidate"])
    seconds, bad, failures, answered = [], [], 0, 0
    callers = Callers()
    calling = asyncio.create_task(callers.run(f"{mesh.url}/predict/{model}", RATE))
    try:
        for number in range(RUNS):
            async with following(mesh, model) as routed:
                await sdk.create_canary(model, "2.0.0", 10)
                await asyncio.sleep(GOOD_SECONDS)
                callers.flagged = options["flagged"]
                await _until_full(sdk, model)
                await asyncio.sleep(1.0)  # what is routed late would still be seen
                callers.flagged = 0.0
            seconds.append(routed.last - routed.first_bad)
            bad.append(routed.bad)
            if number % 10 == 9:
                say(f"{name}: {number + 1} runs, median {statistics.median(seconds):.2f} s")
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    failures, answered = len(callers.failures), callers.answered
    found = {
        "runs": RUNS,
        "seconds": seconds,
        "median": float(np.median(seconds)),
        "p95": float(np.quantile(seconds, 0.95)),
        "largest": max(seconds),
        "bad_requests": float(np.median(bad)),
        "answered": answered,
        "failures_seen": failures,
        "first_failures": callers.failures[:3],
    }
    say(
        f"{name}: median {found['median']:.2f} s, p95 {found['p95']:.2f} s, {failures} failures seen by callers "
        f"of {answered} answers"
    )
    return found


async def _until_full(sdk: AsyncModelMeshClient, model: str) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        release = next(d for d in await sdk.deployments() if d["model"] == model)
        if release["strategy"] == "full":
            return
        await asyncio.sleep(0.1)
    raise SystemExit(f"{model} was not rolled back within a minute")


async def shadow(mesh: Mesh, sdk: AsyncModelMeshClient, register: Registrar, say: Say) -> dict[str, Any]:
    """The primary's latency at a steady rate with a shadow and without, in turns."""
    model = await register("shadowed", {"iterations": 100}, {"iterations": 100, "scale": 2.1})
    bodies = bodies_of([[0.0, float(number)] for number in range(100)])
    tails: dict[str, list[float]] = {"off": [], "on": []}
    sent_with_shadow = copied = accounted = shed = 0
    async with kafka_target(mesh.settings, model, bodies) as ask:
        await LoadGenerator(ask).at_rate(RATE, seconds=15)  # the broker warms up
        for _ in range(SHADOW_ROUNDS):
            for state in ("off", "on"):
                if state == "on":
                    await sdk.create_shadow(model, "1.0.0", "2.0.0")
                    await LoadGenerator(ask).at_rate(RATE, seconds=2)
                found = (await LoadGenerator(ask).at_rate(RATE, seconds=SHADOW_SECONDS)).summary()
                tails[state].append(found["p99_ms"])
                if state == "on":
                    sent = round(RATE * (SHADOW_SECONDS + 2))
                    pairs = await _all_paired(sdk, model, sent)
                    sent_with_shadow += sent
                    copied += pairs["copied"]
                    accounted += pairs["paired"] + pairs["shed"]
                    shed += pairs["shed"]
                    await sdk.stop_shadow(model)
    found = {
        "p99_off": tails["off"],
        "p99_on": tails["on"],
        "ratio": statistics.median(tails["on"]) / statistics.median(tails["off"]),
        "sent": sent_with_shadow,
        "copied": copied,
        "paired_or_shed": accounted,
        "shed": shed,
    }
    say(
        f"shadow: p99 {statistics.median(tails['off']):.1f} ms off, {statistics.median(tails['on']):.1f} ms on; "
        f"{accounted} of {copied} paired or shed, {shed} shed"
    )
    return found


async def _all_paired(sdk: AsyncModelMeshClient, model: str, sent: int) -> dict[str, Any]:
    give_up = time.monotonic() + 15
    pairs: dict[str, Any] = {}
    while time.monotonic() < give_up:
        pairs = (await sdk.shadow(model)).as_json()
        if pairs["paired"] + pairs["shed"] >= sent:
            break
        await asyncio.sleep(0.2)
    return pairs


async def control_cost(mesh: Mesh, register: Registrar, say: Say) -> dict[str, Any]:
    """The control plane's CPU, in shares of a core, at a low and a high rate of requests."""
    model = await register("costly", {})
    control = next(member for member in mesh.supervisor.members if member.role == "control")
    process = psutil.Process(control.pid)
    found: dict[str, Any] = {}
    async with kafka_target(mesh.settings, model, bodies_of([[0.0, 1.0]])) as ask:
        for rate in COST_RATES:
            await LoadGenerator(ask).at_rate(rate, seconds=3)
            before = process.cpu_times()
            summary = (await LoadGenerator(ask).at_rate(rate, seconds=COST_SECONDS)).summary()
            after = process.cpu_times()
            used = (after.user + after.system - before.user - before.system) / summary["seconds"]
            found[str(rate)] = {"cores": used, "rate": summary["rate"], "errors": summary["errors"]}
            say(f"control plane at {summary['rate']:.0f} requests/s: {used:.1%} of a core")
    return found


async def drift(mesh: Mesh, sdk: AsyncModelMeshClient, register: Registrar, say: Say) -> dict[str, Any]:
    """Seconds from the first row of a shift to the event, at 500 rows a second."""
    generator = np.random.default_rng(0)
    reference = np.column_stack([np.zeros(5000), generator.normal(size=5000)])
    model = await register("drifting", {}, data=reference)
    loop = asyncio.get_running_loop()
    detected: asyncio.Future[float] = loop.create_future()

    async def watch() -> None:
        async for event in sdk.watch(model):
            if event["kind"] == "drift.detected" and not detected.done():
                detected.set_result(time.time())

    watching = asyncio.create_task(watch())
    async with PredictionClient(mesh.settings) as client:
        shifted_at, rows, mean = 0.0, 0, 0.0
        while not detected.done():
            await client.predict(model, [[0.0, value] for value in generator.normal(mean, 1, 50)])
            await asyncio.sleep(0.1)
            rows += 50
            if rows == 3000:
                shifted_at, mean = time.time(), 0.5
            if rows > 20_000:
                raise SystemExit("the drift was not detected")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    found = {"seconds": detected.result() - shifted_at, "rows": rows - 3000}
    say(f"drift: the event came {found['seconds']:.1f} s and {found['rows']} rows after the shift")
    return found
