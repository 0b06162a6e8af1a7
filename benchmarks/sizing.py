"""How much of a core each role takes for a request: what to plan a cluster by."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
from modelmesh.cli.load_targets import bodies_of, http_target
from modelmesh.cli.local.mesh import Mesh
from modelmesh.producers.load_generator import LoadGenerator
from modelmesh.sdk import AsyncModelMeshClient

from . import report
from .pipeline import Say, forest, temporary_mesh

RATES = (100, 300, 600)
SECONDS = 15.0


async def run(say: Say) -> dict[str, Any]:
    """Return, for each rate, the share of a core that each role took."""
    model, rows = forest(100, max_depth=8)
    figures: dict[str, Any] = {}
    async with temporary_mesh(workers=1) as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
        await sdk.register_model("forest", model, sample=rows[:20])
        async with http_target(mesh.url, "forest", bodies_of(rows.tolist())) as ask:
            await LoadGenerator(ask).at_rate(300, seconds=SECONDS)
            await asyncio.sleep(5)  # what the load before left to do is not this one's
            idle = await _shares(mesh, asyncio.sleep(SECONDS))
            for rate in RATES:
                shares = await _shares(mesh, LoadGenerator(ask).at_rate(rate, seconds=SECONDS))
                figures[str(rate)] = shares
                say(f"{rate}/s: " + ", ".join(f"{role} {share:.2f}" for role, share in shares.items()))
    return {"idle": idle, "rates": figures}


async def _shares(mesh: Mesh, load: Any) -> dict[str, float]:
    def spent() -> dict[str, float]:
        found = {}
        for member in mesh.supervisor.members:
            process = psutil.Process(member.pid)
            family = [process, *process.children(recursive=True)]
            found[member.role] = sum(sum(each.cpu_times()[:2]) for each in family)
        return found

    before, began = spent(), asyncio.get_running_loop().time()
    await load
    seconds = asyncio.get_running_loop().time() - began
    return {role: (after - before[role]) / seconds for role, after in spent().items()}


def per_core(figures: dict[str, Any]) -> dict[str, float]:
    """Requests/s for which each role takes a whole core, by the difference between the rates."""
    low, high = RATES[0], RATES[-1]
    first, last = figures["rates"][str(low)], figures["rates"][str(high)]
    return {role: (high - low) / max(1e-9, last[role] - first[role]) for role in last}


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    cores = per_core(figures)
    return "\n\n".join(
        [
            "Share of a core by role, the forest over HTTP, one process of each role; the last column is by the difference "
            f"between {RATES[0]} and {RATES[-1]} requests/s, so that what a role does anyway does not count. Batches grow with "
            "the load, so a busy role does more for a core than this says.",
            report.table(
                ["role", "idle", *(f"{rate}/s" for rate in RATES), "requests/s a core"],
                [
                    [
                        role,
                        f"{idle:.2f}",
                        *(f"{figures['rates'][str(rate)][role]:.2f}" for rate in RATES),
                        f"{cores[role]:.0f}",
                    ]
                    for role, idle in figures["idle"].items()
                ],
            ),
        ]
    )
