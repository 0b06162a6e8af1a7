"""Processor time a request by role: idle, one at a time, at fixed rates, and with 64 in flight.

A busy machine changes latencies a lot and these figures little: they are the ones to watch. The load generator runs here, in
the benchmark's process, and does not count.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
from modelmesh.cli.load_targets import bodies_of, http_target
from modelmesh.cli.local.mesh import Mesh
from modelmesh.producers.load_generator import Ask, LoadGenerator, LoadReport
from modelmesh.sdk import AsyncModelMeshClient

from . import report
from .pipeline import Say, forest, temporary_mesh

WARM_UP_SECONDS = 20.0
IDLE_SECONDS = 15.0
SECONDS = 15.0
RATES = (200, 500, 2000)
IN_FLIGHT = (1, 64)


async def run(say: Say) -> dict[str, Any]:
    """Return by load: requests a second, latencies in ms, µs of processor time a request by role; and memory in MiB."""
    model, rows = forest(100, max_depth=8)
    async with temporary_mesh(workers=1) as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
        await sdk.register_model("forest", model, sample=rows[:20])
        async with http_target(mesh.url, "forest", bodies_of(rows.tolist())) as ask:
            say("warming up")
            await LoadGenerator(ask).in_flight(64, seconds=WARM_UP_SECONDS)
            found = {"idle": await _idle(mesh, say)}
            for count in IN_FLIGHT:
                found[f"{count} in flight"] = await _measured(mesh, ask, say, count=count)
            for rate in RATES:
                found[f"{rate}/s"] = await _measured(mesh, ask, say, rate=rate)
        return {"loads": found, "memory_mib": _memory(mesh)}


async def _idle(mesh: Mesh, say: Say) -> dict[str, Any]:
    """Processor time without any requests, in percent of one core."""
    await asyncio.sleep(3)
    before = _seconds(mesh)
    await asyncio.sleep(IDLE_SECONDS)
    spent = {role: 100 * (after - before[role]) / IDLE_SECONDS for role, after in _seconds(mesh).items()}
    say(f"idle: {sum(spent.values()):.1f} % of a core; " + _by_role(spent, 1))
    return {"percent": _rounded(spent, 2)}


async def _measured(mesh: Mesh, ask: Ask, say: Say, *, count: int = 0, rate: float = 0) -> dict[str, Any]:
    load, before = LoadGenerator(ask), _seconds(mesh)
    made: LoadReport = await (load.in_flight(count, seconds=SECONDS) if count else load.at_rate(rate, seconds=SECONDS))
    requests = max(1, made.answered)
    spent = {role: 1e6 * (after - before[role]) / requests for role, after in _seconds(mesh).items()}
    figures = made.summary()
    say(
        f"{f'{count} in flight' if count else f'{rate:g}/s'}: {sum(spent.values()):.0f} µs a request; {_by_role(spent, 0)}; "
        f"{figures['rate']:.0f}/s, p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms"
    )
    return {"micros": _rounded(spent, 1)} | {key: figures[key] for key in ("rate", "p50_ms", "p99_ms", "errors")}


def _processes(mesh: Mesh) -> dict[str, psutil.Process]:
    """The process of each role; the broker's is its JVM."""
    found = {member.role: psutil.Process(member.pid) for member in mesh.supervisor.members if member.pid}
    java = [child for child in found["broker"].children(recursive=True) if "java" in child.name()]
    return found | ({"broker": java[0]} if java else {})


def _seconds(mesh: Mesh) -> dict[str, float]:
    return {role: sum(process.cpu_times()[:2]) for role, process in _processes(mesh).items()}


def _memory(mesh: Mesh) -> dict[str, float]:
    return {role: round(process.memory_info().rss / 2**20, 1) for role, process in _processes(mesh).items()}


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {role: round(value, digits) for role, value in values.items()} | {"all": round(sum(values.values()), digits)}


def _by_role(values: dict[str, float], digits: int) -> str:
    return ", ".join(f"{role} {value:.{digits}f}" for role, value in sorted(values.items(), key=lambda item: -item[1]))


def page(figures: dict[str, Any]) -> str:
    """The section of the benchmarks page."""
    loads = figures["loads"]
    roles = [role for role in loads["idle"]["percent"] if role != "all"]
    header = ["load", "answers/s", "p50 ms", "p99 ms", "all µs", *(f"{role} µs" for role in roles)]
    table = [
        [
            name,
            *(load[key] for key in ("rate", "p50_ms", "p99_ms")),
            *(load["micros"][role] for role in ("all", *roles)),
        ]
        for name, load in loads.items()
        if name != "idle"
    ]
    memory = figures["memory_mib"]
    by_role = ", ".join(f"{role} {mib:.0f}" for role, mib in memory.items())
    return "\n\n".join(
        [
            "Processor time a request, by role; one worker, a forest of 100 trees on 30 features, one row a request, over HTTP.",
            report.table(header, table),
            f"Idle: {loads['idle']['percent']['all']} % of one core.",
            f"Memory at the end: {sum(memory.values()):.0f} MiB ({by_role}).",
        ]
    )
