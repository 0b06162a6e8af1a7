"""An embedded Apache Kafka: one node in KRaft mode, started and stopped by this program."""

from __future__ import annotations

import asyncio
import base64
import random
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from ...schemas.errors import BrokerUnavailable, SetupError
from ...schemas.own_environment import plain_environment
from ...schemas.settings.mesh import MeshSettings
from ..kafka.connection import wait_until_answers
from .class_archive import ClassArchive
from .die_with_parent import die_with_parent
from .jars import cache_folder, kafka_jars
from .java import find_java
from .progress import Progress, no_progress

START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0

LOGGING = """\
Configuration:
  Appenders:
    File:
      name: F
      fileName: "{log}"
      append: true
      PatternLayout: {{pattern: "%d %p %c{{1}} %m%n"}}
  Loggers:
    Root: {{level: WARN, AppenderRef: {{ref: F}}}}
"""


# Below the ephemeral ports of outgoing connections, which could take a port before its owner listens.
PORTS = range(20_000, 32_000)
# Ports that were returned before: their owners may not listen yet.
_assigned: set[int] = set()


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """Return `preferred` if it is free, else another free port that was not returned before. Raises SetupError."""
    others = [port for port in random.SystemRandom().sample(PORTS, 200) if port not in _assigned]
    for port in [preferred, *others] if preferred else others:
        with socket.socket() as probe:
            # Like the JVM; without it, a port in TIME_WAIT after a restart would count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            _assigned.add(port)
            return port
    raise SetupError(f"no free port on {host}")


def choose_port(folder: Path, preferred: int = 9092) -> int:
    """Return the previous port of this folder's Kafka, else the preferred one, else any free port."""
    properties = folder / "server.properties"
    if properties.exists():
        for line in properties.read_text().splitlines():
            if line.startswith("advertised.listeners="):
                return free_port(int(line.rsplit(":", 1)[1]))
    return free_port(0 if preferred in _assigned else preferred)


class EmbeddedKafka:
    """One Kafka node with its data in a folder. A restart on the same folder keeps the log."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        heap_mb: int = 512,
        advertised: str = "127.0.0.1",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """`advertised` is the host name for clients; `extra` overrides broker properties."""
        self.folder = folder.resolve()
        self.port = port or choose_port(self.folder)
        self.heap_mb = heap_mb
        self._advertised = advertised
        self._extra = extra or {}
        self._process: asyncio.subprocess.Process | None = None
        self._classes: ClassArchive | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients, as host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The JVM's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, progress: Progress = no_progress) -> None:
        """Fetch, format and start as needed; return once the broker answers requests.

        Raises SetupError if Java or the jars are missing, BrokerUnavailable if Kafka does not start.
        """
        java = await asyncio.to_thread(find_java)
        jars = await asyncio.to_thread(kafka_jars, progress)
        self.folder.mkdir(parents=True, exist_ok=True)
        await self._until_port_is_free()
        command = self._prepare(java, jars)
        if not (self.folder / "log" / "meta.properties").exists():
            progress("formatting the log", 0, None)
            await asyncio.to_thread(self._format, command)
        progress("starting Kafka", 0, None)
        self._classes = ClassArchive(java, jars, cache_folder(), self.folder)
        output = (self.folder / "kafka.out").open("ab")
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *command,
                *self._classes.options(),
                "kafka.Kafka",
                str(self.folder / "server.properties"),
                env=plain_environment(),  # without the mesh's secrets
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in a terminal goes to the whole process group; the broker must outlive roles that still commit.
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        finally:
            output.close()
        try:
            await self._until_it_answers(process)
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Wait until the JVM ends; return its exit code."""
        assert self._process is not None, "start() first"
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop cleanly, which flushes the log; kill the JVM after a timeout."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        else:
            if self._classes is not None:
                await asyncio.to_thread(self._classes.keep)

    async def _until_it_answers(self, process: asyncio.subprocess.Process) -> None:
        answering = asyncio.create_task(
            wait_until_answers(MeshSettings(kafka=self.bootstrap, kafka_security="PLAINTEXT"), START_TIMEOUT)
        )
        ending = asyncio.create_task(process.wait())
        done, _ = await asyncio.wait({answering, ending}, return_when=asyncio.FIRST_COMPLETED)
        if answering in done:
            ending.cancel()
            answering.result()
            return
        answering.cancel()
        raise BrokerUnavailable(
            f"Kafka ended with code {ending.result()} while starting; its last output:\n{self._last_output()}"
        )

    def _last_output(self) -> str:
        lines: list[str] = []
        for name in ("kafka.log", "kafka.out"):
            path = self.folder / name
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-5:]
        return "\n".join(lines) or "nothing"

    async def _until_port_is_free(self) -> None:
        """Wait until a predecessor has flushed its log and released the port. Raises SetupError."""
        for _ in range(100):
            if free_port(self.port) == self.port:
                return
            await asyncio.sleep(0.1)
        raise SetupError(f"port {self.port} is used by another program: set another one in MODELMESH_KAFKA")

    def _prepare(self, java: Path, jars: list[Path]) -> list[str]:
        """Write the configuration; return the command prefix that runs a class of Kafka."""
        controller = free_port()
        # Another name than localhost means that clients on other hosts connect.
        listen = "127.0.0.1" if self._advertised == "127.0.0.1" else ""
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://{listen}:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self._advertised}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(self.folder / "log"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "auto.create.topics.enable": "false",
            "num.network.threads": "2",
            "num.io.threads": "4",
        } | dict(self._extra)
        text = "".join(f"{key}={value}\n" for key, value in properties.items())
        (self.folder / "server.properties").write_text(text)
        (self.folder / "log4j2.yaml").write_text(LOGGING.format(log=self.folder / "kafka.log"))
        return [
            str(java),
            f"-Xmx{self.heap_mb}m",
            "-Xms128m",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            # C1 only: for a minute or two after a start, C2 would take the cores that requests need.
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}",
            "-cp",
            ":".join(map(str, jars)),
        ]

    def _format(self, command: list[str]) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        properties = str(self.folder / "server.properties")
        done = subprocess.run(
            [*command, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", properties],
            env=plain_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SetupError(f"Kafka's log folder {self.folder} could not be formatted: {done.stderr.strip()[-500:]}")
