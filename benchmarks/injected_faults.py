"""What is done to the parts of a mesh under load: killed, frozen, restarted, leaking."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

from modelmesh.cli.local.mesh import Mesh
from modelmesh.cli.local.status import mesh_status
from modelmesh.cli.local.supervisor import Member
from modelmesh.schemas.errors import ModelMeshError
from modelmesh.sdk import AsyncModelMeshClient

from .models.leaky_model import LEAKS_AFTER

FREEZE_SECONDS = 5.0
Inject = Callable[[Mesh, AsyncModelMeshClient], Awaitable[None]]


def member(mesh: Mesh, name: str) -> Member:
    """Return a member of the mesh."""
    return next(found for found in mesh.supervisor.members if found.name == name)


def send(mesh: Mesh, name: str, number: signal.Signals) -> None:
    """Send a signal to a member."""
    pid = member(mesh, name).pid
    assert pid is not None
    os.kill(pid, number)


async def restart(mesh: Mesh, name: str) -> None:
    """Stop a member in order and wait until it is back."""
    before = member(mesh, name).starts
    send(mesh, name, signal.SIGTERM)
    while member(mesh, name).starts == before:  # noqa: ASYNC110 - the supervisor knows it, and tells nobody
        await asyncio.sleep(0.05)
    await until_healthy(mesh)


def killing(name: str) -> Inject:
    """Kill a member; it is started again by its supervisor."""

    async def kill(mesh: Mesh, _: AsyncModelMeshClient) -> None:
        send(mesh, name, signal.SIGKILL)

    return kill


async def freeze(mesh: Mesh, _: AsyncModelMeshClient) -> None:
    """Let a worker stand still for a while."""
    send(mesh, "worker-0", signal.SIGSTOP)
    await asyncio.sleep(FREEZE_SECONDS)
    send(mesh, "worker-0", signal.SIGCONT)


async def restart_broker(mesh: Mesh, _: AsyncModelMeshClient) -> None:
    """Stop Kafka in order; its supervisor starts it again."""
    send(mesh, "broker", signal.SIGTERM)


async def leak(mesh: Mesh, sdk: AsyncModelMeshClient) -> None:
    """Ask a model that leaks until its process is killed."""
    for number in range(LEAKS_AFTER + 1):
        try:
            await sdk.predict("leaky", [float(number)])
        except ModelMeshError:
            return


async def rolling_restart(mesh: Mesh, _: AsyncModelMeshClient) -> None:
    """Stop each role in order and wait until it is back, one after the other."""
    for name in ("worker-0", "worker-1", "router-0", "router-1", "control", "recorder", "gateway-0", "gateway-1"):
        await restart(mesh, name)


FAULTS: dict[str, Inject] = {
    "kill -9 a worker": killing("worker-0"),
    "kill -9 a router": killing("router-0"),
    "kill -9 the Faust app": killing("control"),
    "kill -9 a gateway": killing("gateway-0"),
    "freeze a worker for 5 s": freeze,
    "restart the broker": restart_broker,
    "a model leaks and is killed": leak,
    "restart everything in turn": rolling_restart,
}


async def until_healthy(mesh: Mesh) -> None:
    """Return once every role is ready and no consumer is far behind."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        status = await mesh_status(mesh.settings)
        if status["healthy"] and status["lag"]:
            return
        await asyncio.sleep(0.2)
    raise SystemExit(f"the mesh did not become healthy again: {await mesh_status(mesh.settings)}")
