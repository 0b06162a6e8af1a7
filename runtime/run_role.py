"""Runs one role in this process until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import structlog
import uvloop
from prometheus_client import Info, ProcessCollector

from .. import __version__
from ..access.request_guard import RequestGuard
from ..broker.kafka.connection import wait_until_answers
from ..broker.kafka.topics import ensure_topics
from ..schemas.acls import used_by
from ..schemas.errors import ModelMeshError
from ..schemas.settings.role import RoleSettings
from ..telemetry.admin_server import admin_server
from ..telemetry.logs import configure_logs
from .lifecycle import STOP_SECONDS, Lifecycle
from .role import Role

log = structlog.get_logger(__name__)
BROKER_TIMEOUT = 60.0
# New objects between two garbage collections. With Python's default of 700, one runs every few requests.
GARBAGE_THRESHOLD = 10_000
S = TypeVar("S", bound=RoleSettings)


def run_role(name: str, settings: S, make: Callable[[S], Role], *, needs_broker: bool = True) -> None:
    """Run until stopped. Exits with 1 and one log line if the role fails."""
    configure_logs(settings.log_level, name, settings.name)
    sys.exit(uvloop.run(_run(name, settings, make, needs_broker)))


async def _run(name: str, settings: S, make: Callable[[S], Role], needs_broker: bool) -> int:
    """Run a role; return the process' exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts = Lifecycle(stop, all_seconds=settings.drain_timeout + STOP_SECONDS)
    code = 1
    try:
        async with parts:
            if needs_broker:
                await parts.wait(wait_until_answers(settings, BROKER_TIMEOUT), "kafka")
                await parts.wait(ensure_topics(settings, used_by(name, settings.topics())), "topics")
            await _start(name, settings, make(settings), parts)
            await parts.until_stopped()
        log.info("role.stopped")
        code = 0
    except ModelMeshError as error:
        log.error("role.failed", code=error.code, detail=error.detail, exc_info=error.__cause__)
    except Exception:
        log.exception("role.failed")
    if parts.stuck:
        os._exit(1)
    return code


async def _start(name: str, settings: RoleSettings, role: Role, parts: Lifecycle) -> None:
    """Start the admin server and then the role, so that /health shows what the start waits for."""
    _tune_garbage_collector()
    ProcessCollector(registry=role.registry)
    Info("modelmesh", "Version, role and name of this process", registry=role.registry).info(
        {"version": __version__, "role": name, "replica": settings.name}
    )
    guard = RequestGuard(settings, settings.admin_host)
    server = admin_server(settings.admin_host, settings.admin_port, role.registry, role.health, guard.check)
    port = await parts.enter("admin server", server)
    log.info("role.started", pid=os.getpid(), admin_port=port, kafka=settings.kafka)
    await role.start(parts)


def _tune_garbage_collector() -> None:
    """Exclude the modules and the role's own objects from garbage collection, and run it less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
