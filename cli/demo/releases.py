"""The demo's releases: a good canary is promoted, a bad one rolled back, a shadow compared, and drift detected."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from rich.console import Console

from ...producers.client import PredictionClient
from ...producers.load_generator import LoadGenerator
from ...sdk import AsyncModelMeshClient
from .models import Trained, payments_versions

RATE = 150.0
EVENT_TIMEOUT = 60.0
UNSEEN_MERCHANT = "Hooli"
ROWS_PER_REQUEST = 50


class PaymentStream:
    """Generates payments; `unseen` and `inflation` change their distribution."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self._random = np.random.default_rng(0)
        self.unseen = 0.0  # share of payments at an unseen merchant
        self.inflation = 1.0

    def payment(self) -> dict[str, Any]:
        """Return the next payment."""
        row = dict(self._rows[self._random.integers(len(self._rows))])
        row["amount"] = round(row["amount"] * self.inflation, 2)
        if self._random.random() < self.unseen:
            row["merchant"] = UNSEEN_MERCHANT
        return row


async def run_releases(
    http: AsyncModelMeshClient, kafka: PredictionClient, payments: Trained, console: Console
) -> list[str]:
    """Release versions of the payments model under live traffic and print the events; return unexpected outcomes."""
    failures, stream, name = list[str](), PaymentStream(payments.rows), payments.name
    console.print("\nReleases that judge themselves", style="bold")
    for version, model in (await asyncio.to_thread(payments_versions)).items():
        await http.register_model(
            name, model, version=version, sample=payments.rows[:20], data=payments.reference, compile=version != "3.0.0"
        )
    async with _events(http, name, console) as happened:

        async def ask(number: int) -> int:
            await kafka.predict(name, stream.payment())
            return 1

        load = LoadGenerator(ask)
        calling = asyncio.create_task(load.at_rate(RATE, seconds=3600))
        try:
            console.print(f"{RATE:.0f} payments a second come in.", style="dim")
            await http.create_canary(name, "2.0.0", steps=[20, 60, 100], hold_seconds=1.5)
            await _until(happened, "canary.promoted", failures)

            await http.create_canary(name, "3.0.0", 10)
            await asyncio.sleep(2.0)
            console.print(
                f"Half of the payments are at {UNSEEN_MERCHANT} now, a merchant that 3.0.0 cannot handle.", style="dim"
            )
            stream.unseen, began = 0.5, time.perf_counter()
            await _until(happened, "canary.rolled_back", failures)
            took, stream.unseen = time.perf_counter() - began, 0.0
            console.print(
                f"  rolled back {took:.1f} s later; errors that callers saw so far: {load.report.errors.total()}"
            )

            await http.create_shadow(name, None, "4.0.0")
            await asyncio.sleep(3.0)
            await _show_shadow(http, name, console, failures)
            await http.stop_shadow(name)
        finally:
            load.stop()
            report = await calling
        if report.errors:
            failures.append(f"callers saw errors: {dict(report.errors)}")
        console.print(f"{report.answered} payments answered, {report.errors.total()} errors.", highlight=False)
        console.print("Prices double.", style="dim")
        stream.inflation = 2.0
        await _until_drift(kafka, name, stream, happened, failures)
    return failures


@contextlib.asynccontextmanager
async def _events(http: AsyncModelMeshClient, name: str, console: Console) -> AsyncIterator[dict[str, asyncio.Event]]:
    """Print the model's events; yield an asyncio.Event for each kind that has happened."""
    happened: dict[str, asyncio.Event] = {}

    async def watch() -> None:
        async for event in http.watch(name):
            console.print(f"  {event.kind}: {event.summary}", highlight=False, markup=False)
            happened.setdefault(event.kind, asyncio.Event()).set()

    watching = asyncio.create_task(watch())
    try:
        yield happened
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _until(happened: dict[str, asyncio.Event], kind: str, failures: list[str]) -> None:
    try:
        await asyncio.wait_for(happened.setdefault(kind, asyncio.Event()).wait(), EVENT_TIMEOUT)
    except TimeoutError:
        failures.append(f"{kind} did not happen within {EVENT_TIMEOUT:.0f} s")


async def _show_shadow(http: AsyncModelMeshClient, name: str, console: Console, failures: list[str]) -> None:
    found = await http.shadow(name)
    if not found["paired"]:
        failures.append("no shadow answer was paired")
        return
    low, high = found["agreement_interval"]
    console.print(
        f"  {found['paired']} answers of the shadow compared: they agree on {found['agreement']:.1%} "
        f"({low:.1%} to {high:.1%}); {found['shed']} copies shed. The largest differences:",
        highlight=False,
    )
    for worst in found["worst"][:3]:
        console.print(f"    {_answer(worst['production'])}  against  {_answer(worst['shadow'])}", highlight=False)


def _answer(outputs: Any) -> str:
    return f"label {outputs['label'][0]}, probabilities {[round(share, 3) for share in outputs['probabilities'][0]]}"


async def _until_drift(
    kafka: PredictionClient, name: str, stream: PaymentStream, happened: dict[str, asyncio.Event], failures: list[str]
) -> None:
    """Send rows until drift is detected."""
    detected = happened.setdefault("drift.detected", asyncio.Event())
    began = time.perf_counter()
    while not detected.is_set():
        if time.perf_counter() - began > EVENT_TIMEOUT:
            failures.append(f"drift.detected did not happen within {EVENT_TIMEOUT:.0f} s")
            return
        await kafka.predict(name, [stream.payment() for _ in range(ROWS_PER_REQUEST)])
        await asyncio.sleep(0.05)
