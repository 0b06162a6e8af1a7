"""A steady load for long: memory of each process and lag must stay flat."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from modelmesh.cli.local.status import consumer_lag
from modelmesh.producers.load_generator import percentile
from modelmesh.sdk import AsyncModelMeshClient

from . import report
from .faults import Say, fault_mesh, memory
from .models.chaos_models import SAMPLE, chaos_model
from .steady_callers import Callers

RATE = 200
MINUTES = float(os.environ.get("MINUTES", "60"))
EVERY_SECONDS = 15.0


async def run(say: Say) -> dict[str, Any]:
    """Load a mesh and look at it every few seconds; return what was seen."""
    samples: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="modelmesh-soak-") as folder:
        async with fault_mesh(folder) as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
            await sdk.register_model("steady", chaos_model(Path(folder) / "steady.onnx"), sample=SAMPLE)
            callers = Callers(mesh.urls, "steady", RATE, "soak")
            outcomes: Counter[str] = Counter()
            latencies: list[float] = []
            async with callers.calling():
                began = time.monotonic()
                while time.monotonic() < began + 60 * MINUTES:
                    await asyncio.sleep(EVERY_SECONDS)
                    lag = await consumer_lag(mesh.settings)
                    samples.append(
                        {
                            "minute": (time.monotonic() - began) / 60,
                            "memory_mb": memory(mesh),
                            "lag": sum(entry["lag"] for entry in lag),
                        }
                    )
                    if len(samples) % 20 == 0:
                        say(f"minute {samples[-1]['minute']:.0f}: lag {samples[-1]['lag']}, {samples[-1]['memory_mb']}")
            outcomes.update(call.outcome for call in callers.calls)
            latencies = sorted(call.done - call.due for call in callers.calls if call.outcome == "right")
    return {
        "minutes": MINUTES,
        "rate": RATE,
        "outcomes": dict(outcomes),
        "p50_ms": 1000 * percentile(latencies, 50),
        "p99_ms": 1000 * percentile(latencies, 99),
        "samples": samples,
        "growth": growth(samples),
    }


def growth(samples: list[dict[str, Any]]) -> dict[str, float]:
    """MB an hour by which each role grew over the second half, by the medians of its two quarters."""
    half = samples[len(samples) // 2 :]
    first, last = half[: len(half) // 2], half[len(half) // 2 :]
    hours = (statistics.median(s["minute"] for s in last) - statistics.median(s["minute"] for s in first)) / 60
    return {
        name: round(
            (
                statistics.median(s["memory_mb"][name] for s in last)
                - statistics.median(s["memory_mb"][name] for s in first)
            )
            / hours,
            1,
        )
        for name in samples[-1]["memory_mb"]
    }


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    samples = figures["samples"]
    minutes = [sample["minute"] for sample in samples]
    lags = [sample["lag"] for sample in samples]
    plot = report.lines_plot(
        "Resident memory under a steady load",
        "minutes",
        "MB",
        {name: (minutes, [sample["memory_mb"][name] for sample in samples]) for name in samples[-1]["memory_mb"]},
        ylim=(0, None),
    )
    return "\n\n".join(
        [
            f"{figures['rate']} requests/s over HTTP for {figures['minutes']:g} minutes: {figures['outcomes']}, "
            f"p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms. Lag summed over all consumer groups: "
            f"{statistics.median(lags):.0f} records at the median, {max(lags)} at most, {lags[-1]} at the end.",
            report.table(
                ["role", "MB in the middle", "MB at the end", "growth over the second half, MB/h"],
                [
                    [name, samples[len(samples) // 2]["memory_mb"][name], samples[-1]["memory_mb"][name], grown]
                    for name, grown in figures["growth"].items()
                ],
            ),
            report.save_plot(plot, "soak"),
        ]
    )
