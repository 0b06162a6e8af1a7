"""The process that models' processes are forked from: it has imported what they need, and has devnull that they should not have.

A service starts one with a socket (`ForkServer` in process.py) and asks over it for one process after the other. Each is forked
twice: the first, the watcher, leaves the machine's namespaces and waits; the second, the first one of its PID namespace, confines
itself and serves. When the watcher ends the second one, devnull that it started outlives it; the watcher does so when the
service closes its end of `status`, however that came to be.
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
    """Serve until the service closes its end."""
    warnings.simplefilter("ignore")
    if preload:
        import_module("modelmesh.models.preload")
    gc.freeze()  # what is there now is shared with all: the collector must not touch it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # watchers end without being waited for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the service decides
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
                _watch(spec, visible, *descriptors)
            for each in descriptors:
                os.close(each)


def _watch(spec: SandboxSpec, visible: list[VisiblePath], channel: int, status: int) -> NoReturn:
    """Be the watcher: start the model's process, say on `status` how it wakeup_read, end it when `status` is closed."""
    try:
        os.setsid()
        devnull = os.open(os.devnull, os.O_RDWR)
        for each in (0, 1, 2):
            os.dup2(devnull, each)
        os.close(devnull)
        missing = leave_namespaces()
        if sys.platform == "linux":
            linux.die_with_parent(signal.SIGKILL)
            linux.adopt_orphans()
        wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write)
        watcher = os.getpid()
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.closerange(3, channel)
            os.closerange(channel + 1, os.sysconf("SC_OPEN_MAX"))
            _serve(spec, visible, missing, watcher, channel)
        os.close(channel)
        waiting = select.poll()
        waiting.register(wakeup_read, select.POLLIN)
        waiting.register(status, select.POLLIN)
        if any(each == status for each, _ in waiting.poll()):
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if missing:
            _kill_descendants()
        os.write(status, str(code).encode())
    except BaseException:  # whoever asked is told by the end of both sockets
        os._exit(1)
    os._exit(0)


def _kill_descendants() -> None:
    """Without a PID namespace: end what the model's process started. Orphans are this process's children."""
    import psutil

    while left := psutil.Process().children(recursive=True):
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _serve(
    spec: SandboxSpec, visible: list[VisiblePath], missing: list[str], watcher: int, descriptor: int
) -> NoReturn:
    """Be the model's process."""
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        artifact, refused = confine(spec, visible, missing, watcher)
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
