"""Run one role in this process until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

import structlog
import uvloop
from prometheus_client import Info, ProcessCollector

from .. import __version__
from ..access.door import Door
from ..broker.kafka.connection import wait_until_answers
from ..broker.kafka.topics import ensure_topics
from ..schemas.acls import used_by
from ..schemas.errors import ModelMeshError
from ..schemas.settings import Settings
from ..telemetry.admin_server import admin_server
from ..telemetry.logs import configure_logs
from .role import Role

log = structlog.get_logger(__name__)
BROKER_TIMEOUT = 60.0
# New objects between two runs of the garbage collector. With Python's default of 700 it runs every few requests.
GARBAGE_THRESHOLD = 10_000


def run_role(name: str, settings: Settings, make: Callable[[Settings], Role], *, needs_broker: bool = True) -> None:
    """Run until stopped. Exits with 1 and one line of log when the role fails."""
    configure_logs(settings.log_level, name, settings.name)
    try:
        uvloop.run(_run(name, settings, make, needs_broker))
    except ModelMeshError as error:
        log.error("role.failed", code=error.code, detail=error.detail)
        sys.exit(1)
    except Exception:
        log.exception("role.failed")
        sys.exit(1)


async def _run(name: str, settings: Settings, make: Callable[[Settings], Role], needs_broker: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if needs_broker:
        await wait_until_answers(settings, BROKER_TIMEOUT)
        await ensure_topics(settings, used_by(name, settings.topics()))
    role = make(settings)
    _tune_garbage_collector()
    ProcessCollector(registry=role.registry)
    Info("modelmesh", "What this process is", registry=role.registry).info(
        {"version": __version__, "role": name, "replica": settings.name}
    )
    door = Door(settings, settings.admin_host)
    async with admin_server(settings.admin_host, settings.admin_port, role.registry, role.health, door.check) as port:
        log.info("role.started", pid=os.getpid(), admin_port=port, kafka=settings.kafka)
        await role.run(stop)
    log.info("role.stopped")


def _tune_garbage_collector() -> None:
    """Leave modules and what the role is made of, which stay until the end, out of each run; and run less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
