"""Start the roles as separate processes, restart those that die, and stop them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from pydantic import SecretStr

from ...access.request_guard import url_of
from ...broker.embedded.die_with_parent import die_with_parent
from ...broker.embedded.server import free_port
from ...schemas.own_environment import handed_over
from ...schemas.settings import Settings

# Seconds; longer than a role takes to stop all of its parts.
STOP_TIMEOUT = 40.0
# Roles stop before those that they depend on; the broker is last.
STOP_ORDER = ("gateway", "router", "worker", "recorder", "control", "broker")
# The settings that the broker's process gets; no passwords.
_BROKER_SETTINGS = tuple(
    f"MODELMESH_{name}" for name in ("KAFKA", "DATA", "NAME", "ADMIN_PORT", "ADMIN_HOST", "LOG_LEVEL")
)


@dataclass
class Member:
    """One role's process."""

    role: str
    name: str
    admin_port: int
    settings: dict[str, str] = field(default_factory=dict)  # in addition to those of the mesh
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process and self.process.returncode is None else None


class Supervisor:
    """Supervises the roles of one machine. `state_file` lists them for `modelmesh status`."""

    def __init__(self, settings: Settings, on_restart: Callable[[Member, int], None]) -> None:
        self._settings = settings
        self._on_restart = on_restart
        self._members: list[Member] = []
        self._stopping = False
        self._logs = settings.data / "logs"
        self.state_file = state_file(settings.data)

    @property
    def members(self) -> list[Member]:
        """The processes, in the order of their start."""
        return self._members

    async def start(self, role: str, name: str, **settings: str) -> Member:
        """Start one role and keep it running, with additional settings by name."""
        member = Member(role, name, free_port(), settings)
        self._members.append(member)
        process = await self._spawn(member)
        member.watcher = asyncio.create_task(self._watch(member, process))
        return member

    async def stop(self) -> None:
        """Stop all roles in STOP_ORDER; kill those that do not stop in time."""
        self._stopping = True
        for role in STOP_ORDER:
            group = [member.process for member in self._members if member.role == role and member.process is not None]
            for process in group:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            await asyncio.gather(*map(_reap, group))
        for member in self._members:
            if member.watcher is not None:
                member.watcher.cancel()
        self.state_file.unlink(missing_ok=True)

    def tail(self, member: Member, lines: int = 10) -> str:
        """Return the last lines of a member's log."""
        path = self._log_path(member)
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    async def _spawn(self, member: Member) -> asyncio.subprocess.Process:
        self._logs.mkdir(parents=True, exist_ok=True)
        # Explicit settings of the supervisor apply to its roles too.
        explicit = {name: getattr(self._settings, name) for name in self._settings.model_fields_set}
        own = {"name": member.name, "admin_port": member.admin_port, **member.settings}
        environ = os.environ | {f"MODELMESH_{name.upper()}": _text(value) for name, value in (explicit | own).items()}
        if member.role == "broker":
            environ = {
                name: value
                for name, value in environ.items()
                if not name.startswith("MODELMESH_") or name in _BROKER_SETTINGS
            }
        environment, rest = handed_over(environ)
        with self._log_path(member).open("ab") as output:
            process = member.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "modelmesh",
                member.role,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                # Ctrl-C must reach only the supervisor, which stops the roles in order.
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        assert process.stdin is not None  # it is a pipe
        process.stdin.write(rest)
        process.stdin.close()
        member.starts += 1
        self._write_state()
        return process

    async def _watch(self, member: Member, process: asyncio.subprocess.Process) -> None:
        while True:
            began = time.monotonic()
            code = await process.wait()
            if self._stopping:
                return
            self._on_restart(member, code)
            # Backoff for a role that dies soon after its start; others are restarted at once.
            if time.monotonic() - began < 5.0:
                await asyncio.sleep(min(5.0, 0.2 * 2 ** min(member.starts, 5)))
            process = await self._spawn(member)

    def _log_path(self, member: Member) -> Path:
        return self._logs / f"{member.name}.log"

    def _write_state(self) -> None:
        document = {
            "supervisor": os.getpid(),
            "kafka": self._settings.kafka,
            "prefix": self._settings.prefix,
            "url": url_of(self._settings.host, self._settings.port),
            "members": [
                {"role": m.role, "name": m.name, "pid": m.pid, "admin_port": m.admin_port, "starts": m.starts}
                for m in self._members
            ],
        }
        partial = self.state_file.with_suffix(".partial")
        partial.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        partial.replace(self.state_file)


def state_file(data: Path) -> Path:
    """Return the path of the state file of a supervisor on this data folder."""
    return data / "run.json"


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


async def _reap(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
