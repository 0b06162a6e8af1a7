"""`modelmesh doctor`: whether this machine and the parts around it are fit, and what to do where not."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Literal

import aiohttp
import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from ...broker.embedded.java import find_java
from ...broker.kafka.connection import admin_client
from ...models.sandbox.process import refused_restrictions
from ...registry.storage import migrate
from ...schemas.errors import ModelMeshError
from ...schemas.settings import Settings
from ..options import DEFAULT_URL, JsonOption, UrlOption

MIN_FREE_DISK = 2 * 1024**3
MAX_CLOCK_OFFSET_SECONDS = 1.0
console = Console()


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what that means."""

    what: str
    state: Literal["good", "note", "bad"]
    said: str


def doctor(url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Look at Python, Java, Kafka, database, cache, models' sandbox, disk and clock. Exit code 1 where something is bad."""
    findings = asyncio.run(_look(Settings(), url))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        colours = {"good": "green", "note": "yellow", "bad": "red"}
        table = Table("", "", "")
        for finding in findings:
            table.add_row(finding.what, f"[{colours[finding.state]}]{finding.state}[/]", finding.said)
        console.print(table)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


async def _look(settings: Settings, url: str) -> list[Finding]:
    looks: list[tuple[str, Callable[[], Awaitable[Finding]]]] = [
        ("Python", _python),
        ("Java", _java),
        ("Kafka", lambda: _kafka(settings)),
        ("database", lambda: _database(settings)),
        ("cache", lambda: _cache(settings)),
        ("models' processes", lambda: _sandbox(settings)),
        ("disk", lambda: _disk(settings)),
        ("gateway and clock", lambda: _gateway(url)),
    ]
    found = []
    for what, look in looks:
        try:
            found.append(await look())
        except ModelMeshError as error:
            found.append(Finding(what, "bad", error.detail))
    return found


async def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", "good" if sys.version_info >= (3, 11) else "bad", f"{version}; 3.11 or newer is needed")


async def _java() -> Finding:
    try:
        return Finding("Java", "good", f"{await asyncio.to_thread(find_java)}, for the embedded Kafka")
    except ModelMeshError as error:
        return Finding("Java", "note", f"{error.detail}; not needed where MODELMESH_KAFKA names a Kafka")


async def _kafka(settings: Settings) -> Finding:
    try:
        async with admin_client(settings) as admin:
            brokers = len((await admin.describe_cluster())["brokers"])
    except ModelMeshError as error:
        return Finding("Kafka", "note", f"{error.detail}; `modelmesh up` brings its own")
    enough = brokers >= settings.replication
    said = f"{brokers} brokers at {settings.kafka}"
    return Finding(
        "Kafka",
        "good" if enough else "bad",
        said if enough else f"{said}, MODELMESH_REPLICATION is {settings.replication}",
    )


async def _database(settings: Settings) -> Finding:
    if not settings.database and not (settings.data / "modelmesh.db").exists():
        return Finding("database", "note", f"SQLite in {settings.data}, not made yet")
    url = settings.database_url
    revision = await asyncio.to_thread(migrate.translate_errors, url, lambda: asyncio.run(migrate.current(url)))
    newest = migrate.newest()
    if revision != newest:
        return Finding("database", "bad", f"at {revision}, this release needs {newest}: `modelmesh db upgrade`")
    return Finding("database", "good", f"at {revision}")


async def _cache(settings: Settings) -> Finding:
    if not settings.redis:
        return Finding("cache", "good", "in the routers' memory; MODELMESH_REDIS would share it")
    from ...router.redis_answers import open_redis

    client = open_redis(settings.redis)
    try:
        began = time.perf_counter()
        await client.ping()
        milliseconds = 1000 * (time.perf_counter() - began)
    except (RedisError, OSError) as error:
        return Finding("cache", "bad", f"Redis does not answer: {error}; predictions go on without it")
    finally:
        await client.aclose()
    slow = milliseconds > 1000 * settings.cache_patience
    return Finding("cache", "note" if slow else "good", f"Redis answers in {milliseconds:.1f} ms")


async def _sandbox(settings: Settings) -> Finding:
    refused = await asyncio.to_thread(refused_restrictions)
    if not refused:
        return Finding("models' processes", "good", "kept apart: own user, processes, network and files")
    said = f"not kept apart whole, this machine refuses {'; '.join(refused)}"
    if settings.sandbox == "whole":
        return Finding("models' processes", "bad", f"{said}: models that are code do not run (MODELMESH_SANDBOX=whole)")
    return Finding("models' processes", "note", f"{said}: take models that are code from those alone whom you trust")


async def _disk(settings: Settings) -> Finding:
    folder = settings.data if settings.data.exists() else settings.data.resolve().parent
    free = shutil.disk_usage(folder).free
    return Finding("disk", "good" if free >= MIN_FREE_DISK else "bad", f"{free / 1024**3:.1f} GiB free at {folder}")


async def _gateway(url: str) -> Finding:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
            asked = time.time()
            async with session.get(f"{url.rstrip('/')}/health") as answer:
                document = await answer.json()
            between = (asked + time.time()) / 2
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Finding("gateway and clock", "note", f"no gateway at {url}: {error or type(error).__name__}")
    apart = abs(document["at"] - between)
    if apart > MAX_CLOCK_OFFSET_SECONDS:
        return Finding(
            "gateway and clock", "bad", f"the clocks are {apart:.1f} s apart: deadlines would be wrong, use NTP"
        )
    state: Literal["good", "bad"] = "good" if document["ready"] else "bad"
    missing = ", ".join(name for name, fine in document["checks"].items() if not fine)
    return Finding("gateway and clock", state, f"{url} is ready" if not missing else f"{url} waits for: {missing}")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)
