"""`modelmesh chaos start|list|stop`: fault injection."""

from __future__ import annotations

import asyncio
import getpass
import json
import time
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.table import Table

from ...producers.faults import FaultInjector
from ...schemas.errors import InvalidInput
from ...schemas.payloads.chaos import FAULT_KINDS, Fault, FaultKind
from ...schemas.settings.mesh import MeshSettings
from ..options import JsonOption, say

console = Console()
app = typer.Typer(
    no_args_is_help=True,
    help="Inject faults into roles that run with MODELMESH_CHAOS=true.",
    rich_markup_mode=None,
)


@app.command()
def start(
    kind: Annotated[str, typer.Argument(help="error, latency, drop-replies or crash.")],
    model: Annotated[str, typer.Option(help="Only this model.")] = "",
    version: Annotated[str, typer.Option(help="Only this version.")] = "",
    routing_key: Annotated[str, typer.Option(help="Only requests with this routing key.")] = "",
    replica: Annotated[str, typer.Option(help="Only in this replica.")] = "",
    topic: Annotated[str, typer.Option(help="latency, drop-replies: only records to this topic.")] = "",
    share: Annotated[float, typer.Option(help="Share of the matching requests, above 0 and up to 1.")] = 1.0,
    milliseconds: Annotated[float, typer.Option(help="latency: milliseconds to add.")] = 100.0,
    seconds: Annotated[float, typer.Option("--for", min=0.1, max=3600, help="Seconds until it ends.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Start a fault for a limited time."""
    if kind not in FAULT_KINDS:
        raise InvalidInput(f"kind must be one of {', '.join(FAULT_KINDS)}, not {kind[:40]!r}", field="kind")
    if not 0 < share <= 1:
        raise InvalidInput("share must be above 0 and at most 1", field="share")
    if not 0 <= milliseconds <= 60_000:
        raise InvalidInput("milliseconds must be from 0 to 60000", field="milliseconds")
    fault = Fault(
        kind=cast(FaultKind, kind),
        model=model,
        version=version,
        routing_key=routing_key,
        replica=replica,
        topic=topic,
        share=share,
        milliseconds=milliseconds if kind == "latency" else 0.0,
        until=time.time() + seconds,
        actor=getpass.getuser(),
    )
    asyncio.run(_start(fault))
    text = f"{fault.fault_id}: {kind} for {seconds:g} s; `modelmesh chaos stop {fault.fault_id}` ends it"
    say(text, fault.model_dump(), as_json=as_json)


async def _start(fault: Fault) -> None:
    async with FaultInjector(MeshSettings()) as injector:
        await injector.start(fault)


@app.command("list")
def list_faults(as_json: JsonOption = False) -> None:
    """List the active faults."""
    faults = asyncio.run(_active())
    if as_json:
        print(json.dumps([fault.model_dump() for fault in faults]))
        return
    table = Table("fault", "kind", "where", "share", "ms", "seconds left")
    for fault in faults:
        where = fault.model_dump(include={"model", "version", "routing_key", "replica", "topic"}, exclude_defaults=True)
        table.add_row(
            fault.fault_id,
            fault.kind,
            ", ".join(f"{name} {value}" for name, value in where.items()) or "everywhere",
            f"{fault.share:g}",
            f"{fault.milliseconds:g}",
            f"{fault.until - time.time():.0f}",
        )
    console.print(table if faults else "no fault is active")


async def _active() -> list[Fault]:
    async with FaultInjector(MeshSettings()) as injector:
        return injector.active()


@app.command()
def stop(
    fault_id: Annotated[str | None, typer.Argument(help="The fault, as the list shows it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All active faults.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop a fault."""
    if (fault_id is None) != every:
        raise InvalidInput("give either a fault id or --all", field="fault_id")
    stopped = asyncio.run(_stop(fault_id))
    say(
        "\n".join(f"{one} is stopped" for one in stopped) or "no fault is active", {"stopped": stopped}, as_json=as_json
    )


async def _stop(fault_id: str | None) -> list[str]:
    async with FaultInjector(MeshSettings()) as injector:
        chosen = [fault_id] if fault_id is not None else [fault.fault_id for fault in injector.active()]
        for one in chosen:
            await injector.stop(one)
        return chosen


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="chaos")
