"""The service's side of a model's process: start it, call it, kill it. Its replies are untrusted."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from ...schemas.errors import (
    InvalidInput,
    ModelFailed,
    ModelRefusedInput,
    PickleRefused,
    RegistrationRefused,
    Unavailable,
)
from ...schemas.own_environment import plain_environment
from .channel import BrokenMessage, Channel, ChannelClosed, read_reply, send_request, text_in
from .confinement import SandboxSpec
from .fork_server import SIZE

_START_TIMEOUT = 120.0  # the first start takes seconds for imports
_END_TIMEOUT = 5.0
_MAX_REPLY_BYTES = 1 << 28
_REPORTABLE_ERRORS = {
    kind.code: kind for kind in (InvalidInput, ModelRefusedInput, ModelFailed, RegistrationRefused, PickleRefused)
}


class ProcessDied(Exception):
    """The model's process died; the text is its exit status."""


class ForkServer:
    """The process that models' processes are forked from. It ends when this process ends or dies."""

    def __init__(self, *, preload: bool = True) -> None:
        """With `preload` it imports what models need, so that their processes start in milliseconds."""
        self._preload = preload
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, spec: SandboxSpec) -> tuple[socket.socket, socket.socket]:
        """Return the sockets of a new process: its channel and its exit status. Raises Unavailable."""
        channel, its_channel = socket.socketpair()
        status, its_status = socket.socketpair()
        message = json.dumps(asdict(spec)).encode()
        with self._lock, its_channel, its_status:
            for is_retry in (False, True):
                try:
                    control = self._control or self._start()
                    descriptors = [its_channel.fileno(), its_status.fileno()]
                    socket.send_fds(control, [len(message).to_bytes(SIZE, "big")], descriptors)
                    control.sendall(message)
                    return channel, status
                except OSError as error:  # the fork server died: start another one
                    self._stop()
                    if is_retry:
                        channel.close()
                        status.close()
                        raise Unavailable(f"no process can be started for a model: {error}") from error
        raise AssertionError

    def close(self) -> None:
        """Stop it. Processes that were forked from it end when their sockets close."""
        with self._lock:
            self._stop()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: modules must not be imported from the service's folder. The environment has none of the service's secrets.
            self._process = subprocess.Popen(
                [
                    sys.executable, "-P", "-m", "modelmesh.models.sandbox.fork_server", str(theirs.fileno()),
                    "preload" if self._preload else "plain",
                ],
                env=plain_environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        self._control = ours
        return ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_TIMEOUT)
        self._control = self._process = None


_fork_server = ForkServer()


class IsolatedProcess:
    """One process for one artifact. One thread at a time may use it; `close` may be called from any."""

    def __init__(self, spec: SandboxSpec, *, whole: bool = False, server: ForkServer = _fork_server) -> None:
        """Start it. `whole`: only with every sandbox restriction in force. Raises Unavailable."""
        sock, self._status = server.launch(spec)
        self._channel = Channel(sock)
        self._sock = sock
        try:
            document, _ = self._receive(_START_TIMEOUT, _MAX_REPLY_BYTES, None)
            _raise_reported_error(document)
        except (ProcessDied, BrokenMessage, TimeoutError, ModelFailed) as error:
            self.close()
            raise Unavailable(f"the model's process does not start: {error or type(error).__name__}") from None
        self.refused = [str(each)[:300] for each in document.get("refused") or []]
        if whole and self.refused:
            self.close()
            raise Unavailable(
                f"this machine cannot isolate a model's process as MODELMESH_SANDBOX=whole requires: {'; '.join(self.refused)}"
            )

    def call(
        self,
        *request: Any,
        timeout: float | None = None,
        max_bytes: int = _MAX_REPLY_BYTES,
        into: IO[bytes] | None = None,
    ) -> tuple[dict[str, Any], memoryview]:
        """Return the reply's document and body; with `into`, the body (of at most `max_bytes` bytes) goes to that file.

        Raises ProcessDied, TimeoutError, ModelFailed for an unreadable reply, and the errors that the process reports:
        InvalidInput, ModelRefusedInput, ModelFailed, RegistrationRefused, PickleRefused, ValueError.
        """
        try:
            deadline = None if timeout is None else time.monotonic() + timeout
            send_request(self._channel, *request, timeout=timeout)
            left = None if deadline is None else deadline - time.monotonic()
            document, body = self._receive(left, max_bytes, into)
        except ChannelClosed:
            raise ProcessDied(self._exit_reason()) from None
        except BrokenMessage as error:
            self.close()  # the stream cannot be resynchronized
            raise ModelFailed(f"the model's process sent an unreadable reply: {error}") from None
        _raise_reported_error(document)
        return document, body

    def close(self) -> None:
        """Kill it and all that it started. A pending `call` raises ProcessDied."""
        self._status.close()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _receive(
        self, timeout: float | None, max_bytes: int, into: IO[bytes] | None
    ) -> tuple[dict[str, Any], memoryview]:
        try:
            header, body = self._channel.receive(max_bytes, timeout=timeout, into=into)
        except ChannelClosed:
            raise ProcessDied(self._exit_reason()) from None
        return read_reply(header), body

    def _exit_reason(self) -> str:
        try:
            self._status.settimeout(_END_TIMEOUT)
            code = self._status.recv(16).decode()
        except (OSError, UnicodeDecodeError):
            code = ""
        return f"exit code {code}" if code else "it was killed"


def sandbox_spec(artifact: Path, memory_bytes: int, file_bytes: int, cpu_seconds: int = 0) -> SandboxSpec:
    """Return the spec of a process for an artifact, and make the artifact readable for all users.

    The process runs as another user; the permissions of the folders above the artifact keep others out.
    """
    with contextlib.suppress(OSError):
        artifact.chmod(0o444)
    return SandboxSpec(str(artifact.resolve()), memory_bytes, file_bytes, cpu_seconds)


def prepare() -> list[str]:
    """Warm up the fork server, so that models' processes start in milliseconds. Return and raise as `refused_restrictions`."""
    return _refused(_fork_server)


def refused_restrictions() -> list[str]:
    """Return descriptions of the sandbox restrictions that this machine refuses; empty if all are in force.

    Starts and kills a process, which takes tenths of a second. Raises Unavailable if none starts.
    """
    server = ForkServer(preload=False)
    with contextlib.closing(server):
        return _refused(server)


def _refused(server: ForkServer) -> list[str]:
    process = IsolatedProcess(SandboxSpec(str(Path(__file__).resolve()), 1 << 40, 1 << 20, 0), server=server)
    process.close()
    return process.refused


def _raise_reported_error(document: dict[str, Any]) -> None:
    """Raise the error in a reply, if there is one. Only errors that a model can cause keep their class."""
    kind = document.get("error")
    if kind == "problem" and isinstance(problem := document.get("problem"), dict):
        field = text_in(problem, "field")[:200] or None
        raise _REPORTABLE_ERRORS.get(str(problem.get("code")), ModelFailed)(text_in(problem, "detail"), field=field)
    if kind == "value":
        raise ValueError(text_in(document, "text"))
    if kind is not None:
        raise ModelFailed(text_in(document, "text"))
