"""The cost of observability: metrics, access log and traces against a mesh without them, alternating."""

from __future__ import annotations

import contextlib
import os
import statistics
import timeit
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from modelmesh.access.request_guard import RequestGuard
from modelmesh.cli.load_targets import bodies_of, http_target
from modelmesh.producers.load_generator import LoadGenerator
from modelmesh.schemas.settings import HttpSettings
from modelmesh.sdk import AsyncModelMeshClient

from . import report
from .pipeline import Say, forest, temporary_mesh

ROUNDS = 3
SECONDS = 8.0
IN_FLIGHT, RATE = 64, 200
BARE = Path(__file__).parent / "bare"
KINDS: dict[str, dict[str, Any]] = {
    "nothing": {"access_log": "off"},
    "default": {},
    "default, 1 % traced": {"trace_sample": 0.01},
    "default, all traced": {"trace_sample": 1.0},
}


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[str]:
    """A collector that takes spans and forgets them."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(content_type="application/x-protobuf")

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    await runner.cleanup()


def request_guard_us(calls: int = 20_000) -> float:
    """Return the microseconds of the gateway's check of a request's headers: the best of five runs."""
    headers = {
        "Host": "127.0.0.1:8000", "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "Python/3.11 aiohttp/3.14",
        "Content-Type": "application/json", "Content-Length": "20", "Authorization": "Bearer mm_" + 50 * "a",
        "X-Routing-Key": "k",
    }  # fmt: skip
    request = make_mocked_request("POST", "/predict/m", headers=headers)
    guard = RequestGuard(HttpSettings(), "127.0.0.1")
    return 1e6 * min(timeit.repeat(lambda: guard.check(request), number=calls)) / calls


async def run(say: Say) -> dict[str, Any]:
    """Measure each kind of mesh in each round; return the medians over the rounds."""
    say(f"the check of a request's headers: {request_guard_us():.2f} us")
    model, rows = forest(100, max_depth=8)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in KINDS}
    async with collector() as url:
        for number in range(ROUNDS):
            for name, options in KINDS.items():
                settings: dict[str, Any] = dict(options)
                if "trace_sample" in options:
                    settings["otlp"] = url
                os.environ["PYTHONPATH"] = str(BARE) if name == "nothing" else ""
                figures = await _measure(settings, model, rows)
                found[name].append(figures)
                say(f"round {number + 1}, {name}: {figures['rate']:.0f}/s, p50 {figures['p50_ms']:.2f} ms")
    return {
        name: {
            "rate": statistics.median(each["rate"] for each in rounds),
            "p50_ms": statistics.median(each["p50_ms"] for each in rounds),
            "rounds": rounds,
        }
        for name, rounds in found.items()
    }


async def _measure(settings: dict[str, Any], model: Any, rows: Any) -> dict[str, float]:
    async with (
        temporary_mesh(workers=1, **settings) as mesh,
        AsyncModelMeshClient(mesh.url, timeout=120) as sdk,
    ):
        await sdk.register_model("forest", model, sample=rows[:20])
        async with http_target(mesh.url, "forest", bodies_of(rows.tolist())) as ask:
            await LoadGenerator(ask).in_flight(IN_FLIGHT, seconds=SECONDS)
            closed = (await LoadGenerator(ask).in_flight(IN_FLIGHT, seconds=SECONDS)).summary()
            opened = (await LoadGenerator(ask).at_rate(RATE, seconds=SECONDS)).summary()
    return {"rate": closed["rate"], "p50_ms": opened["p50_ms"]}


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """The aims, what was found, and whether they are met."""
    bare, usual = figures["nothing"], figures["default"]
    slower, later = 1 - usual["rate"] / bare["rate"], usual["p50_ms"] / bare["p50_ms"] - 1
    return [
        ["throughput lost to metrics and logs under 10 %", f"{slower:.1%}", report.met(slower < 0.1)],
        ["p50 raised by metrics and logs under 10 %", f"{later:.1%}", report.met(later < 0.1)],
    ]


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    bare = figures["nothing"]
    return "\n\n".join(
        [
            f"The forest over HTTP, {IN_FLIGHT} in flight and at {RATE}/s, one worker; medians of {ROUNDS} rounds in which each "
            "kind of mesh was restarted, alternating. Default: metrics, and a log line for each request.",
            report.table(
                ["watched by", "requests/s", "against nothing", "p50 ms", "against nothing"],
                [
                    [
                        name,
                        f"{each['rate']:.0f}",
                        f"{each['rate'] / bare['rate'] - 1:+.1%}",
                        f"{each['p50_ms']:.2f}",
                        f"{each['p50_ms'] / bare['p50_ms'] - 1:+.1%}",
                    ]
                    for name, each in figures.items()
                ],
            ),
            report.table(["aim", "found", "met"], aims(figures)),
        ]
    )
