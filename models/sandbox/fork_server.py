"""The fork server: models' processes are forked from it. It has their imports loaded, and none of the service's secrets.

A service starts it with a socket (`ForkServer` in process.py) and requests processes over it. Each one is forked twice. The
first process, the supervisor, leaves the machine's namespaces and waits. The second, the first of its PID namespace, confines
itself and serves. The supervisor kills it, and with it all its descendants, when the service closes its end of `status` or dies.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import warnings
from importlib import import_module
from typing import NoReturn

from . import linux
from .channel import Channel, ChannelClosed, send_reply
from .confinement import SandboxSpec, VisiblePath, confine, leave_namespaces, visible_paths

SIZE = 4


def main(descriptor: int, preload: bool) -> None:
    """Fork processes until the service closes its end of the socket."""
    warnings.simplefilter("ignore")
    if preload:
        import_module("modelmesh.models.preload")
    gc.freeze()  # children share these objects: collection would cause copy-on-write
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are not waited for
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole process group; the service decides what to stop
    visible = visible_paths()
    with socket.socket(fileno=descriptor) as control:
        while True:
            prefix, descriptors, _, _ = socket.recv_fds(control, SIZE, 2)
            if len(prefix) < SIZE:
                return
            size = int.from_bytes(prefix, "big")
            spec = SandboxSpec(**json.loads(control.recv(size, socket.MSG_WAITALL)))
            if os.fork() == 0:
                control.close()
                _supervise(spec, visible, *descriptors)
            for each in descriptors:
                os.close(each)


def _supervise(spec: SandboxSpec, visible: list[VisiblePath], channel: int, status: int) -> NoReturn:
    """Supervise: start the model's process, send its exit code on `status`, kill it when `status` is closed."""
    try:
        os.setsid()
        devnull = os.open(os.devnull, os.O_RDWR)
        for each in (0, 1, 2):
            os.dup2(devnull, each)
        os.close(devnull)
        refused = leave_namespaces()
        if sys.platform == "linux":
            linux.die_with_parent(signal.SIGKILL)
            linux.adopt_orphans()
        wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write)
        supervisor_pid = os.getpid()
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.closerange(3, channel)
            os.closerange(channel + 1, os.sysconf("SC_OPEN_MAX"))
            _serve(spec, visible, refused, supervisor_pid, channel)
        os.close(channel)
        waiting = select.poll()
        waiting.register(wakeup_read, select.POLLIN)
        waiting.register(status, select.POLLIN)
        if any(each == status for each, _ in waiting.poll()):
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if refused:
            _kill_descendants()
        os.write(status, str(code).encode())
    except BaseException:  # both sockets close, which the service notices
        os._exit(1)
    os._exit(0)


def _kill_descendants() -> None:
    """Kill what the model's process started, where there is no PID namespace. This process is the subreaper of orphans."""
    import psutil

    while left := psutil.Process().children(recursive=True):
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _serve(
    spec: SandboxSpec, visible: list[VisiblePath], refused: list[str], supervisor_pid: int, descriptor: int
) -> NoReturn:
    """Run the model's process."""
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        artifact, refused = confine(spec, visible, refused, supervisor_pid)
        os.environ.update({"HOME": "/tmp", "TMPDIR": "/tmp", "USER": "model", "LOGNAME": "model"})  # nosec B108
        send_reply(channel, {"refused": refused})
        import_module("modelmesh.models.sandbox.jobs").serve(channel, artifact)
    except BaseException as error:
        with contextlib.suppress(ChannelClosed):
            send_reply(channel, {"error": "other", "text": f"{type(error).__name__}: {error}"})
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "preload")
