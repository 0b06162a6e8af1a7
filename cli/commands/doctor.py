"""`modelmesh doctor`: check this machine and the services around it, and tell what to do about problems."""

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
    """The result of one check. The JSON output has these field names."""

    what: str
    state: Literal["good", "note", "bad"]
    said: str


def doctor(url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Check Python, Java, Kafka, database, cache, sandbox, disk and clock. Exit code 1 if a check is bad."""
    findings = asyncio.run(_check_all(Settings(), url))
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


async def _check_all(settings: Settings, url: str) -> list[Finding]:
    checks: list[tuple[str, Callable[[], Awaitable[Finding]]]] = [
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
    for what, check in checks:
        try:
            found.append(await check())
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
        return Finding("Java", "note", f"{error.detail}; not needed if MODELMESH_KAFKA is set")


async def _kafka(settings: Settings) -> Finding:
    try:
        async with admin_client(settings) as admin:
            brokers = len((await admin.describe_cluster())["brokers"])
    except ModelMeshError as error:
        return Finding("Kafka", "note", f"{error.detail}; `modelmesh up` starts its own")
    enough = brokers >= settings.replication
    said = f"{brokers} brokers at {settings.kafka}"
    return Finding(
        "Kafka",
        "good" if enough else "bad",
        said if enough else f"{said}, MODELMESH_REPLICATION is {settings.replication}",
    )


async def _database(settings: Settings) -> Finding:
    if not settings.database and not (settings.data / "modelmesh.db").exists():
        return Finding("database", "note", f"SQLite in {settings.data}, not created yet")
    url = settings.database_url
    revision = await asyncio.to_thread(migrate.translate_errors, url, lambda: asyncio.run(migrate.current(url)))
    newest = migrate.newest()
    if revision != newest:
        return Finding("database", "bad", f"at {revision}, this release needs {newest}: `modelmesh db upgrade`")
    return Finding("database", "good", f"at {revision}")


async def _cache(settings: Settings) -> Finding:
    if not settings.redis:
        return Finding("cache", "good", "in the routers' memory; set MODELMESH_REDIS to share it")
    from ...router.redis_answers import open_redis

    client = open_redis(settings.redis)
    try:
        began = time.perf_counter()
        await client.ping()
        milliseconds = 1000 * (time.perf_counter() - began)
    except (RedisError, OSError) as error:
        return Finding("cache", "bad", f"Redis does not answer: {error}; predictions work without it")
    finally:
        await client.aclose()
    slow = milliseconds > 1000 * settings.cache_patience
    return Finding("cache", "note" if slow else "good", f"Redis answers in {milliseconds:.1f} ms")


async def _sandbox(settings: Settings) -> Finding:
    refused = await asyncio.to_thread(refused_restrictions)
    if not refused:
        return Finding("models' processes", "good", "isolated: own user, processes, network and files")
    said = f"not fully isolated: this machine refuses {'; '.join(refused)}"
    if settings.sandbox == "whole":
        return Finding(
            "models' processes", "bad", f"{said}: models that contain code do not run (MODELMESH_SANDBOX=whole)"
        )
    return Finding("models' processes", "note", f"{said}: accept models that contain code only from people you trust")


async def _disk(settings: Settings) -> Finding:
    folder = settings.data if settings.data.exists() else settings.data.resolve().parent
    free = shutil.disk_usage(folder).free
    return Finding("disk", "good" if free >= MIN_FREE_DISK else "bad", f"{free / 1024**3:.1f} GiB free at {folder}")


async def _gateway(url: str) -> Finding:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
            sent_at = time.time()
            async with session.get(f"{url.rstrip('/')}/health") as answer:
                document = await answer.json()
            midpoint = (sent_at + time.time()) / 2
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Finding("gateway and clock", "note", f"no gateway at {url}: {error or type(error).__name__}")
    apart = abs(document["at"] - midpoint)
    if apart > MAX_CLOCK_OFFSET_SECONDS:
        return Finding(
            "gateway and clock", "bad", f"the clocks are {apart:.1f} s apart, which makes deadlines wrong: use NTP"
        )
    state: Literal["good", "bad"] = "good" if document["ready"] else "bad"
    missing = ", ".join(name for name, fine in document["checks"].items() if not fine)
    return Finding("gateway and clock", state, f"{url} is ready" if not missing else f"{url} waits for: {missing}")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)
