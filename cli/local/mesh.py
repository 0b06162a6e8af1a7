"""A whole mesh on this machine: broker, control plane, router, workers, gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

import aiohttp

from ...access.request_guard import url_of
from ...broker.embedded.jars import kafka_jars
from ...broker.embedded.java import find_java
from ...broker.embedded.progress import Progress
from ...broker.embedded.server import choose_port, free_port
from ...broker.kafka.connection import wait_until_answers
from ...broker.kafka.topics import ensure_topics
from ...registry.storage.migrate import upgrade
from ...schemas.errors import SetupError, Unavailable
from ...schemas.settings import Settings
from .supervisor import Member, Supervisor, state_file

READY_TIMEOUT = 90.0


class Mesh:
    """Starts all roles on entry, stops them on exit. `broker_seconds` and `ready_seconds` are the start-up times."""

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int,
        routers: int = 1,
        gateways: int = 1,
        external_kafka: bool,
        progress: Progress,
        on_restart: Callable[[Member, int], None],
    ) -> None:
        kafka = settings.kafka if external_kafka else f"127.0.0.1:{choose_port(settings.data / 'kafka')}"
        port = settings.port or free_port()
        update = {"kafka": kafka, "port": port, "data": settings.data.resolve(), "name": "supervisor"}
        if "pickles" not in settings.model_fields_set:
            update["pickles"] = "allow"  # one machine, one user: the models are the user's own
        self.settings = settings.model_copy(update=update)
        self._workers = workers
        self._routers = routers
        self._gateway_ports = [port, *(free_port() for _ in range(gateways - 1))]
        self._external_kafka = external_kafka
        self._progress = progress
        self.supervisor = Supervisor(self.settings, on_restart)
        self.broker_seconds = 0.0
        self.ready_seconds = 0.0

    @property
    def url(self) -> str:
        """The gateway's URL."""
        return url_of(self.settings.host, self.settings.port)

    @property
    def urls(self) -> list[str]:
        """The URL of each gateway."""
        return [url_of(self.settings.host, port) for port in self._gateway_ports]

    async def __aenter__(self) -> Mesh:
        try:
            await self._start()
        except BaseException:
            await self.supervisor.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress("stopping", 0, None)
        await self.supervisor.stop()

    async def _start(self) -> None:
        settings, supervisor, began = self.settings, self.supervisor, time.monotonic()
        if free_port(settings.port, settings.host) != settings.port:
            raise SetupError(f"port {settings.port} is in use by another program: choose another with --port")
        if state_file(settings.data).exists() and await running(settings):
            raise SetupError(f"a mesh is already running on {settings.data}: stop it first, or choose another --data")
        settings.data.mkdir(parents=True, exist_ok=True)
        if not self._external_kafka:
            # Here, not in the broker's process, to show progress on the terminal.
            await asyncio.to_thread(find_java)
            await asyncio.to_thread(kafka_jars, self._progress)
            self._progress("starting Kafka", 0, None)
            await supervisor.start("broker", "broker")
        await wait_until_answers(settings, READY_TIMEOUT)
        self.broker_seconds = time.monotonic() - began
        self._progress("creating topics and tables", 0, None)
        await ensure_topics(settings, settings.topics())
        await upgrade(settings.database_url)
        self._progress("starting the roles", 0, None)
        await supervisor.start("control", "control")
        for number in range(self._routers):
            await supervisor.start("router", f"router-{number}" if self._routers > 1 else "router")
        for number in range(self._workers):
            await supervisor.start("worker", f"worker-{number}")
        await supervisor.start("recorder", "recorder")
        several = len(self._gateway_ports) > 1
        for number, (port, url) in enumerate(zip(self._gateway_ports, self.urls, strict=True)):
            name = f"gateway-{number}" if several else "gateway"
            await self._until_ready(
                await supervisor.start("gateway", name, port=str(port), mesh_state=str(supervisor.state_file)), url
            )
        self.ready_seconds = time.monotonic() - began

    async def _until_ready(self, gateway: Member, url: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        last_response: object = "no answer yet"
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                try:
                    async with session.get(f"{url}/health/ready") as response:
                        last_response = await response.json()
                        if response.status == 200 and last_response["control_plane"]:  # type: ignore[index]
                            return
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(0.1)
        raise Unavailable(
            f"the mesh was not ready within {READY_TIMEOUT:.0f} s: {last_response}; logs are in {self.settings.data / 'logs'}\n"
            f"{self.supervisor.tail(gateway)}"
        )


async def running(settings: Settings) -> bool:
    """Whether the supervisor that the state file names is alive."""
    import orjson
    import psutil

    try:
        document = orjson.loads(state_file(settings.data).read_bytes())
        process = psutil.Process(int(document["supervisor"]))
        return "modelmesh" in " ".join(process.cmdline())
    except (OSError, ValueError, KeyError, psutil.Error):
        return False
