"""The dashboard in a real browser while many models are asked: how soon it is painted, how it runs, what it keeps."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from modelmesh.cli.load_targets import bodies_of
from modelmesh.producers.client import PredictionClient
from modelmesh.producers.load_generator import LoadGenerator
from modelmesh.schemas.errors import from_problem
from modelmesh.sdk import AsyncModelMeshClient

from . import report
from .models.chaos_models import SAMPLE, chaos_model
from .pipeline import Say, temporary_mesh

MODELS = 50
RATE = 1000
# A line keeps five minutes, so what it keeps grows until then.
MINUTES = int(os.environ.get("MINUTES", "9"))
# The gaps between two frames of the page, as its own clock saw them, counted by the millisecond: a list would be what grows.
FRAMES = """() => { window.gaps = new Uint32Array(5000); let last = performance.now();
  const step = (now) => { window.gaps[Math.min(4999, Math.round(now - last))]++; last = now; requestAnimationFrame(step); };
  requestAnimationFrame(step); }"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


async def run(say: Say) -> dict[str, Any]:
    """Bring up the models, load them, look at the page."""
    from playwright.async_api import async_playwright

    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory(prefix="modelmesh-dashboard-") as folder:
        async with temporary_mesh(workers=2) as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
            path = chaos_model(Path(folder) / "model.onnx")
            for number in range(MODELS):
                await sdk.register_model(f"model-{number:02}", path, sample=SAMPLE)
            say(f"{MODELS} models are live")
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
                try:
                    loading = asyncio.create_task(_load(mesh, MINUTES * 60 + 30))
                    await asyncio.sleep(15)
                    figures = await _watch(browser, mesh, say)
                    figures["load"] = await loading
                finally:
                    await browser.close()
    return figures


async def _load(mesh: Any, seconds: float) -> dict[str, Any]:
    """Ask all models in turn; return what came of it."""
    bodies = bodies_of([[0.0, float(number)] for number in range(100)])
    async with PredictionClient(mesh.settings) as client:

        async def ask(number: int) -> int:
            reply = await client.send(f"model-{number % MODELS:02}", bodies[number % len(bodies)])
            if not reply.ok:
                raise from_problem(orjson.loads(reply.body))
            return reply.batch_size

        return (await LoadGenerator(ask).at_rate(RATE, seconds=seconds)).summary()


async def _watch(browser: Any, mesh: Any, say: Say) -> dict[str, Any]:
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    session = await page.context.new_cdp_session(page)
    gateway = psutil.Process(next(member.pid for member in mesh.supervisor.members if member.role == "gateway"))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await page.goto(f"{mesh.url}/ui")
    await page.wait_for_function(f"document.querySelectorAll('article').length === {MODELS}")
    drawn_ms = 1000 * (loop.time() - began)
    paint_ms = await page.evaluate(PAINT)
    await page.evaluate(FRAMES)
    kept = []
    for minute in range(MINUTES + 1):
        await session.send("HeapProfiler.collectGarbage")
        heap = await page.evaluate("performance.memory.usedJSHeapSize")
        nodes = await page.evaluate("document.getElementsByTagName('*').length")
        kept.append(
            {"minute": minute, "heap_mb": heap / 2**20, "nodes": nodes, "gateway_mb": gateway.memory_info().rss / 2**20}
        )
        say(f"minute {minute}: {kept[-1]}")
        if minute < MINUTES:
            await asyncio.sleep(60)
    counts = np.array(await page.evaluate("Array.from(window.gaps)"))
    gaps = np.repeat(np.arange(len(counts)), counts)
    return {
        "models": MODELS,
        "first_paint_ms": round(paint_ms, 1),
        "all_drawn_ms": round(drawn_ms, 1),
        "frame_gap_ms": {
            name: round(float(np.quantile(gaps, q)), 1) for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1))
        },
        "kept": kept,
    }


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """The aims, what was found, and whether they are met."""
    paint, kept = figures["first_paint_ms"], figures["kept"]
    growth = kept[-1]["heap_mb"] / kept[len(kept) // 2]["heap_mb"]
    rate = figures["load"]["rate"]
    return [
        ["first paint under 1 s", f"{paint:.0f} ms", report.met(paint < 1000)],
        ["the page's memory flat: its second half", f"{growth:.2f} times", report.met(growth < 1.1)],
        [
            f"at {RATE} requests a second and {figures['models']} models",
            f"{rate:.0f}/s",
            report.met(rate >= 0.95 * RATE),
        ],
    ]


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    gaps = figures["frame_gap_ms"]
    return "\n\n".join(
        [
            f"{figures['models']} models, {figures['load']['rate']:.0f} requests a second over Kafka, and the page in a Chromium "
            f"that draws on the same two cores: first paint after {figures['first_paint_ms']:.0f} ms, all models drawn after "
            f"{figures['all_drawn_ms']:.0f} ms. From one frame to the next {gaps['p50']} ms at the median, {gaps['p99']} ms at "
            f"p99, {gaps['max']} ms at most; of {figures['load']['sent']} requests {figures['load']['answered']} were "
            f"answered (p50 {figures['load']['p50_ms']:.0f} ms, p99 {figures['load']['p99_ms']:.0f} ms).",
            report.table(
                ["minute", "page's heap, MB", "elements", "gateway, MB"],
                [
                    [each["minute"], f"{each['heap_mb']:.1f}", each["nodes"], f"{each['gateway_mb']:.0f}"]
                    for each in figures["kept"]
                ],
            ),
            report.table(["aim", "found", "met"], aims(figures)),
        ]
    )
