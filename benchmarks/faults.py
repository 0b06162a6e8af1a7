"""Parts of a mesh die under load: what its callers notice, and that the log lost nothing."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.cli.local.mesh import Mesh
from modelmesh.producers.faults import FaultInjector
from modelmesh.producers.load_generator import percentile
from modelmesh.schemas.payloads.chaos import Fault
from modelmesh.schemas.settings import Settings
from modelmesh.sdk import AsyncModelMeshClient

from .audit import audit
from .injected_faults import FAULTS, member, restart, until_healthy
from .models.chaos_models import SAMPLE, chaos_model
from .models.leaky_model import leaky_model
from .steady_callers import Call, Callers

RATE = 300
RUNS = int(os.environ.get("RUNS", "10"))
BEFORE, AFTER = 3.0, 10.0
Say = Callable[[str], None]


def fault_mesh(folder: str, **settings: Any) -> Mesh:
    """A mesh with two of each that there can be two of, and chaos switched on."""
    return Mesh(
        Settings(data=Path(folder), port=0, chaos=True, **settings),
        workers=2,
        routers=2,
        gateways=2,
        external_kafka=False,
        progress=no_progress,
        on_restart=lambda _, code: None,
    )


async def run(say: Say, parts: list[str]) -> dict[str, Any]:
    """Run the parts; return their figures."""
    figures: dict[str, Any] = {}
    chosen = [name for name in FAULTS if "faults" in parts or name in parts]
    if chosen:
        figures["faults"] = await faults(say, chosen)
    if "balancing" in parts:
        figures["balancing"] = await balancing(say)
    if "overload" in parts:
        figures["overload"] = await overload(say)
    return figures


async def faults(say: Say, names: Iterable[str] = FAULTS, runs: int = RUNS) -> dict[str, Any]:
    """Each fault, many times, under a steady load."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="modelmesh-faults-") as folder:
        async with fault_mesh(folder) as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
            await sdk.register_model("steady", chaos_model(Path(folder) / "steady.onnx"), sample=SAMPLE)
            await sdk.register_model("leaky", leaky_model(Path(folder) / "leaky.joblib"), "sklearn", sample=[[0.0]])
            say(f"mesh ready after {mesh.ready_seconds:.1f} s; warming up")
            async with Callers(mesh.urls, "steady", RATE, "warm").calling():
                await asyncio.sleep(15)
            for number, name in enumerate(names):
                found[name] = await _fault(mesh, sdk, f"f{number}", name, runs, say)
    return found


async def _fault(mesh: Mesh, sdk: AsyncModelMeshClient, prefix: str, name: str, runs: int, say: Say) -> dict[str, Any]:
    noticed = []
    callers = Callers(mesh.urls, "steady", RATE, prefix)
    async with callers.calling():
        for _ in range(runs):
            await asyncio.sleep(BEFORE)
            began = time.monotonic()
            await FAULTS[name](mesh, sdk)
            await asyncio.sleep(max(0.0, began + AFTER - time.monotonic()))
            await until_healthy(mesh)
            ended = time.monotonic()
            await asyncio.sleep(1.0)  # answers to what was due until then
            noticed.append(_notice(callers, began, ended))
    outcomes = Counter(call.outcome for call in callers.calls)
    checked = await audit(mesh.settings, f"{prefix}.")
    details = Counter(f"{call.outcome}: {call.detail}"[:160] for call in callers.calls if call.outcome != "right")
    found = {
        "runs": runs,
        "sent": len(callers.calls),
        "right": outcomes["right"],
        "wrong": outcomes["wrong"],
        "errors": {code: count for code, count in outcomes.items() if code not in ("right", "wrong")},
        "details": dict(details.most_common(5)),
        "lost": sum(not call.outcome for call in callers.calls) + checked["without_outcome"],
        "twice": sum(call.answers > 1 for call in callers.calls),
        "longest_ms": max(run["longest_ms"] for run in noticed),
        "longest_gap_ms": max(run["gap_ms"] for run in noticed),
        "p99_ms": statistics.median(run["p99_ms"] for run in noticed),
        "normal_after": [run["normal_after"] for run in noticed],
        "audit": checked,
    }
    say(
        f"{name}: {found['sent']} sent, {found['right']} right, errors {found['errors'] or 0}, lost {found['lost']}, "
        f"longest answer {found['longest_ms']:.0f} ms, longest gap {found['longest_gap_ms']:.0f} ms, normal after "
        f"{statistics.median(found['normal_after']):.1f} s (at most {max(found['normal_after']):.1f}); audit {checked}"
    )
    return found


def _notice(callers: Callers, began: float, ended: float) -> dict[str, float]:
    """What the callers noticed of one fault. Normal is again what takes at most three times the p99 before, or 100 ms."""
    before = sorted(call.done - call.due for call in callers.between(began - BEFORE, began))
    usual = max(0.1, 3 * percentile(before, 99))
    during = callers.between(began - 0.5, ended)
    near = sorted(call.done - call.due for call in callers.between(began, began + AFTER) if call.outcome == "right")
    odd = [call.done for call in during if call.outcome != "right" or call.done - call.due > usual]
    times = sorted(call.done for call in during if call.outcome == "right")
    return {
        "longest_ms": 1000 * max(call.done - call.due for call in during),
        "gap_ms": 1000 * max((later - sooner for sooner, later in pairwise(times)), default=0.0),
        "p99_ms": 1000 * percentile(near, 99),
        "normal_after": max(0.0, max(odd, default=began) - began),
    }


SLOW_MS = 20.0
BALANCING_SECONDS = 20.0
BALANCING_RATE = 100


async def balancing(say: Say) -> dict[str, Any]:
    """Two replicas, one ten times slower, and three ways to choose between them, in turns."""
    found: dict[str, list[dict[str, float]]] = {"p2c": [], "random": [], "round_robin": []}
    with tempfile.TemporaryDirectory(prefix="modelmesh-balancing-") as folder:
        # Without retries to another replica: the choice alone is compared.
        settings = Settings(data=Path(folder), port=0, chaos=True, max_attempts=1)
        async with (
            Mesh(
                settings, workers=2, external_kafka=False, progress=no_progress, on_restart=lambda _, code: None
            ) as mesh,
            AsyncModelMeshClient(mesh.url, timeout=120) as sdk,
            FaultInjector(mesh.settings) as injector,
        ):
            await sdk.register_model("steady", chaos_model(Path(folder) / "steady.onnx"), sample=SAMPLE)
            for worker, milliseconds in (("worker-0", SLOW_MS), ("worker-1", 10 * SLOW_MS)):
                until = time.time() + 3600
                await injector.start(
                    Fault(kind="latency", model="steady", replica=worker, milliseconds=milliseconds, until=until)
                )
            router = member(mesh, "router")
            for turn in range(3):
                for way, results in found.items():
                    router.settings["balancing"] = way
                    await restart(mesh, "router")
                    callers = Callers([mesh.url], "steady", BALANCING_RATE, f"{way}-{turn}")
                    async with callers.calling():
                        await asyncio.sleep(3)
                        began = time.monotonic()
                        await asyncio.sleep(BALANCING_SECONDS)
                    results.append(_tail(callers.between(began, began + BALANCING_SECONDS)))
                    say(f"{way}: p99 {results[-1]['p99_ms']:.0f} ms")
    p99 = {way: statistics.median(run["p99_ms"] for run in runs) for way, runs in found.items()}
    return {
        "runs": found,
        "p99_ms": p99,
        "better_than_random": p99["random"] / p99["p2c"],
        "better_than_round_robin": p99["round_robin"] / p99["p2c"],
    }


def _tail(calls: list[Call]) -> dict[str, float]:
    latencies = sorted(call.done - call.due for call in calls if call.outcome == "right")
    return {
        "answers": len(latencies),
        "errors": len(calls) - len(latencies),
        **{f"p{rank}_ms": 1000 * percentile(latencies, rank) for rank in (50, 90, 99)},
    }


OVERLOAD_SECONDS = 60.0
# A batch of at most 8 takes 50 ms whoever runs it: what two workers can do is the model's affair, not the machine's.
BATCH_MS, BATCH_SIZE = 50.0, 8


async def overload(say: Say) -> dict[str, Any]:
    """Find the peak, then offer twice as much for a minute."""
    with tempfile.TemporaryDirectory(prefix="modelmesh-overload-") as folder:
        async with (
            fault_mesh(folder) as mesh,
            AsyncModelMeshClient(mesh.url, timeout=120) as sdk,
            FaultInjector(mesh.settings) as injector,
        ):
            batching = {"max_batch_size": BATCH_SIZE}
            path = chaos_model(Path(folder) / "steady.onnx")
            await sdk.register_model("steady", path, sample=SAMPLE, batching=batching)
            until = time.time() + 3600
            await injector.start(Fault(kind="latency", model="steady", milliseconds=BATCH_MS, until=until))
            peak = await _peak(mesh, say)
            say(f"peak {peak:.0f}/s; now twice as much for {OVERLOAD_SECONDS:.0f} s")
            before = memory(mesh)
            callers = Callers(mesh.urls, "steady", 2 * peak, "overload", timeout_ms=4000)
            largest = dict(before)
            async with callers.calling():
                began = time.monotonic()
                while time.monotonic() < began + OVERLOAD_SECONDS:
                    await asyncio.sleep(1.0)
                    largest = {name: max(size, largest[name]) for name, size in memory(mesh).items()}
    calls = callers.between(began, began + OVERLOAD_SECONDS)
    answered = [call for call in calls if call.outcome == "right"]
    refused = sorted(call.done - call.due for call in calls if call.outcome in ("overloaded", "circuit_open"))
    found = {
        "peak": peak,
        "offered": len(calls) / OVERLOAD_SECONDS,
        "goodput": len(answered) / OVERLOAD_SECONDS,
        "share_of_peak": len(answered) / OVERLOAD_SECONDS / peak,
        "outcomes": dict(Counter(call.outcome for call in calls)),
        "refused_p50_ms": 1000 * percentile(refused, 50),
        "refused_p99_ms": 1000 * percentile(refused, 99),
        "answered_p99_ms": 1000 * percentile(sorted(call.done - call.due for call in answered), 99),
        "memory_mb_before": before,
        "memory_mb_largest": largest,
    }
    say(
        f"overload: {found['offered']:.0f}/s offered, goodput {found['goodput']:.0f}/s ({found['share_of_peak']:.0%} of the "
        f"peak), {found['outcomes']}; refused within {found['refused_p50_ms']:.0f} ms (p99 {found['refused_p99_ms']:.0f})"
    )
    return found


async def _peak(mesh: Mesh, say: Say) -> float:
    """Answers a second when the rate is raised until it does not help any more."""
    best, rate = 0.0, 200.0
    while True:
        callers = Callers(mesh.urls, "steady", rate, f"peak-{rate:.0f}", timeout_ms=4000)
        async with callers.calling():
            await asyncio.sleep(2)
            began = time.monotonic()
            await asyncio.sleep(8)
        right = sum(began <= call.done < began + 8 for call in callers.calls if call.outcome == "right") / 8
        say(f"{rate:.0f}/s offered: {right:.0f}/s answered")
        best = max(best, right)
        if right < 0.9 * rate:
            return best
        rate *= 1.25


def memory(mesh: Mesh) -> dict[str, float]:
    """Resident MB of each role, its children included."""
    found = {}
    for role in mesh.supervisor.members:
        if role.pid:
            process = psutil.Process(role.pid)
            sizes = [part.memory_info().rss for part in (process, *process.children(recursive=True))]
            found[role.name] = round(sum(sizes) / 1e6, 1)
    return found
