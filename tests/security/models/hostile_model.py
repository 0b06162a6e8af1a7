"""A model that goes for the service around it. It travels with its code, by value, as an attacker's would."""

import ctypes
import glob
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path


def reads(path):
    with open(path, "rb") as file:
        return file.read()


def environments(known):
    found = []
    for pid in {*filter(str.isdigit, os.listdir("/proc")), *map(str, known["pids"])}:
        for name in ("environ", "cmdline", "maps"):
            try:
                text = reads(f"/proc/{pid}/{name}")
            except OSError:
                continue
            if known["secret"].encode() in text:
                found.append(f"{pid} {name}")
    if not found:
        raise PermissionError("no secret")
    return found


def fork_servers(known):
    reached = []
    for path in [*glob.glob("/tmp/pymp-*/*"), *glob.glob(known["temporary"] + "/pymp-*/*"), *known["sockets"]]:
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(path)
                reached.append(path)
            except OSError:
                pass
    if not reached:
        raise ConnectionRefusedError("none")
    return reached


def descriptors():
    sockets = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
    kinds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in sockets}
    # Its own three, its channel, and whatever it opened itself of what it may read.
    foreign = {fd: what for fd, what in kinds.items() if not what.startswith(("/dev/null", "/artifact", "/proc/"))}
    if len(foreign) == 1 and next(iter(foreign.values())).startswith("socket:"):
        raise PermissionError("its own channel alone")
    return foreign


def connects(kind, address, how=socket.SOCK_STREAM):
    def action():
        with socket.socket(kind, how) as one:
            one.settimeout(2)
            one.connect(address)
            one.send(b"x")

    return action


def writes(folder):
    def action():
        path = os.path.join(folder, "written-by-a-model")
        with open(path, "w") as file:
            file.write("x")
        return path

    return action


def replaces(path):
    def action():
        try:
            os.chmod(path, 0o666)
        finally:
            try:
                os.remove(path)
            finally:
                with open(path, "wb") as file:
                    file.write(b"another model")

    return action


def rights(known):
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    bad = [name for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh") if int(status[name].strip(), 16)]
    bad += ["NoNewPrivs"] * (status["NoNewPrivs"].strip() != "1") + ["root"] * (os.getuid() == 0)
    bad += [f"user {os.getuid()}"] * (known["root"] and os.getuid() < 1000)
    if not bad:
        raise PermissionError("none")
    return bad


def calls(name, *arguments):
    def action():
        libc = ctypes.CDLL(None, use_errno=True)
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), name)

    return action


def leaves_processes(known):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", known["left_behind"]])
        os._exit(0)
    os.wait()
    raise PermissionError("whether they stay is seen from outside")


def many_processes():
    # Threads count as processes do, and are there sooner.
    release = threading.Event()
    started = []
    try:
        for _ in range(600):
            one = threading.Thread(target=release.wait)
            one.start()
            started.append(one)
    finally:
        release.set()
        for one in started:
            one.join()
    return len(started)


def writes_much(known):
    try:
        with open("/tmp/large", "wb", buffering=0) as file:
            for _ in range(known["file_bytes"] // 2**20 + 1):
                file.write(bytes(2**20))
    finally:
        size = os.path.getsize("/tmp/large")
        os.remove("/tmp/large")
    return size


def attack(known):
    """Try all that a model must not reach; return what worked, by name."""
    worked = {}

    def tries(name, action):
        try:
            result = action()
        except BaseException as error:
            worked.setdefault("failed", {})[name] = f"{type(error).__name__}: {error}"[:100]
        else:
            worked[name] = str(result)[:200]

    tries("reads the service's secrets", lambda: environments(known))
    tries("connects to a fork server or a socket of the service", lambda: fork_servers(known))
    tries("has descriptors that are not its own", descriptors)
    tries("connects over TCP", connects(socket.AF_INET, ("127.0.0.1", known["port"])))
    tries("sends over UDP", connects(socket.AF_INET, ("127.0.0.1", known["port"]), socket.SOCK_DGRAM))
    tries("connects to an abstract socket", connects(socket.AF_UNIX, known["abstract"]))
    for pid in known["pids"]:
        if pid > 1000:  # in its own namespace small numbers are its own
            tries(f"signals {pid}", lambda pid=pid: os.kill(pid, signal.SIGTERM))
    tries("reads another's artifact", lambda: reads(known["other"]))
    tries("reads the service's files", lambda: reads(known["file"]))
    tries("lists the service's folder", lambda: os.listdir(known["folder"]))
    tries("replaces another's artifact", replaces(known["other"]))
    tries("replaces its artifact in the cache", replaces(known["mine"]))
    tries("replaces its artifact", replaces("/artifact"))
    own = os.path.dirname(os.__file__)
    for folder in (
        "/",
        "/usr",
        "/usr/lib",
        "/etc",
        "/dev",
        "/proc",
        "/sys",
        sys.prefix,
        own,
        known["package"],
        known["folder"],
    ):
        tries(f"writes to {folder}", writes(folder))
    tries("has rights", lambda: rights(known))
    tries("becomes root", lambda: os.setuid(0))
    tries("mounts", calls("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None))
    tries("changes its root", lambda: os.chroot("/tmp"))
    tries("makes a device", lambda: os.mknod("/tmp/device", 0o666 | stat.S_IFCHR, os.makedev(1, 1)))
    tries("changes the kernel", lambda: Path("/proc/sys/kernel/hostname").write_text("x"))
    tries("raises its limits", lambda: __import__("resource").setrlimit(7, (1 << 20, 1 << 20)))
    tries("writes a large file", lambda: writes_much(known))
    tries("starts any number of processes", many_processes)
    tries("leaves processes behind", lambda: leaves_processes(known))
    with open("/tmp/allowed", "w") as file:  # what it may
        file.write("x")
    os.remove("/tmp/allowed")
    subprocess.run([sys.executable, "-c", "import sklearn"], check=True, stdout=subprocess.DEVNULL)
    return worked


class Attacker:
    """A model that attacks when it is asked."""

    def __init__(self, known):
        self.known = known

    def predict(self, rows):
        import json

        import numpy as np

        asked = rows[0, 0] == 42  # not while it is warmed up
        return np.array([json.dumps(attack(self.known)) if asked else "" for _ in range(len(rows))])


class AttacksWhenLoaded:
    """A model that attacks when it is unpickled, and says in its error what worked."""

    def __init__(self, known):
        self.known = known

    def __reduce__(self):
        def run(known):
            raise RuntimeError("worked: " + ", ".join(sorted(set(attack(known)) - {"failed"})))

        return run, (self.known,)
