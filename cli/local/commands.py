"""`modelmesh up|status|settings`: run and inspect a whole mesh on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ...access.request_guard import is_loopback
from ...schemas.errors import SetupError
from ...schemas.masking import without_passwords
from ...schemas.settings import Settings
from ..options import JsonOption, say
from ..progress_bar import TerminalProgress
from .mesh import Mesh
from .status import mesh_status
from .supervisor import Member

console = Console()
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder for the log, the database and the artifacts.")]


def with_options(data: Path | None, port: int | None = None, host: str | None = None) -> Settings:
    """Return the settings of the environment, overridden by command line options."""
    given = {"data": data, "port": port, "host": host}
    return Settings().model_copy(update={name: value for name, value in given.items() if value is not None})


def check_exposed(settings: Settings, *, insecure: bool) -> str:
    """Return a warning if other machines can reach a mesh without authentication, else an empty text.

    Raises SetupError instead, unless `insecure` allows it.
    """
    ports = {"MODELMESH_HOST": settings.host, "MODELMESH_ADMIN_HOST": settings.admin_host}
    open_ports = [f"{name}={address}" for name, address in ports.items() if not is_loopback(address)]
    if settings.auth != "off" or not open_ports:
        return ""
    what = f"{' and '.join(open_ports)} without authentication: who reaches this machine can run code on it by a model file"
    if not insecure:
        raise SetupError(f"{what}. Set MODELMESH_AUTH=keys, listen on 127.0.0.1, or give --insecure to allow it")
    return what


def say_restart(member: Member, code: int) -> None:
    """Print that a process is restarted."""
    console.print(f"  {member.name} exited with code {code}; restarting it", style="yellow")


def up(
    data: DataOption = None,
    port: Annotated[int | None, typer.Option(help="Port of the HTTP gateway.")] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; default: 127.0.0.1, which other machines cannot reach."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow other machines to reach it without authentication.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Number of workers.")] = 2,
    routers: Annotated[int, typer.Option(min=1, help="Number of routers.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Start a whole mesh and keep it running until Ctrl-C, with an embedded Kafka or that of MODELMESH_KAFKA."""
    settings = with_options(data, port, host)
    if warning := check_exposed(settings, insecure=insecure):
        Console(stderr=True).print(f"warning: {warning}", style="bold red", highlight=False, markup=False)
    mesh = Mesh(
        settings,
        workers=workers,
        routers=routers,
        external_kafka="MODELMESH_KAFKA" in os.environ,
        # With --json, standard output has only one line, the result.
        progress=TerminalProgress(Console(stderr=True) if as_json else console),
        on_restart=say_restart if not as_json else lambda _, code: None,
    )
    asyncio.run(_keep_up(mesh, as_json=as_json))


async def _keep_up(mesh: Mesh, *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    entering = asyncio.create_task(mesh.__aenter__())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({entering, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not entering.done():
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        return
    entering.result()
    try:
        ready = f"ready after {mesh.ready_seconds:.1f} s: {mesh.url}/docs  (Kafka at {mesh.settings.kafka})"
        document = {"url": mesh.url, "kafka": mesh.settings.kafka, "ready_seconds": round(mesh.ready_seconds, 1)}
        say(f"{ready}\nCtrl-C stops everything.", document, as_json=as_json)
        await stop.wait()
    finally:
        stopping.cancel()
        await mesh.__aexit__(None, None, None)


def status(
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the roles with pid, health and lag. Exit code 1 if one is not healthy."""
    document = asyncio.run(mesh_status(with_options(data)))
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        table = Table("role", "name", "pid", "health", "starts")
        for member in document["roles"]:
            table.add_row(member["role"], member["name"], str(member["pid"]), member["health"], str(member["starts"]))
        console.print(table)
        lag = Table("consumer group", "topic", "lag")
        for entry in document["lag"]:
            lag.add_row(entry["group"], entry["topic"], str(entry["lag"]))
        console.print(lag)
        console.print(f"{document['url']}/docs  (Kafka at {document['kafka']})")
    if not document["healthy"]:
        raise typer.Exit(1)


def settings(as_json: JsonOption = False) -> None:
    """List every setting with its current value and meaning."""
    current = Settings()
    rows = [
        (f"MODELMESH_{name.upper()}", without_passwords(str(getattr(current, name))), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        print(json.dumps({name: {"value": value, "meaning": meaning} for name, value, meaning in rows}, indent=2))
        return
    table = Table("variable", "value", "meaning")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (up, status, settings):
        app.command()(command)
