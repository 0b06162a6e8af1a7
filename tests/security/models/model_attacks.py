"""A service with secrets, files and neighbours, and a model that goes for them: prints as JSON what the model brought about.

Run as a program: `python model_attacks.py FOLDER WAY`, where the way is `served`, `proved` or `refused`.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import cloudpickle
import psutil
from modelmesh.models.proof.proof import Limits, prove_in_fresh_process
from modelmesh.models.sandbox.process import what_is_refused
from modelmesh.models.serving_process import ServingProcess
from modelmesh.schemas.errors import RegistrationRefused
from modelmesh.schemas.payloads.releases import VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

# Whole: where the machine does not keep the process apart, the attacks must not run at all.
LIMITS = Limits(allow_pickles=True, memory_bytes=32 * 1024**3, file_bytes=64 * 1024**2, whole_sandbox=True)
LEFT_BEHIND = "98765.4321"


def attack(known):
    """Try all that a model must not reach; return what worked, by name. This is the model's code: it travels with it."""
    import glob
    import os
    import socket
    import stat
    import subprocess
    import sys
    import threading
    from pathlib import Path

    worked = {}

    def tries(name, action):
        try:
            result = action()
        except BaseException as error:
            worked.setdefault("failed", {})[name] = f"{type(error).__name__}: {error}"[:100]
        else:
            worked[name] = str(result)[:200]

    def reads(path):
        with open(path, "rb") as file:
            return file.read()

    def environments():
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

    def fork_servers():
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

    def rights():
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

    def leaves_processes():
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

    def writes_much():
        try:
            with open("/tmp/large", "wb", buffering=0) as file:
                for _ in range(known["file_bytes"] // 2**20 + 1):
                    file.write(bytes(2**20))
        finally:
            size = os.path.getsize("/tmp/large")
            os.remove("/tmp/large")
        return size

    tries("reads the service's secrets", environments)
    tries("connects to a fork server or a socket of the service", fork_servers)
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
    tries("has rights", rights)
    tries("becomes root", lambda: os.setuid(0))
    tries("mounts", calls("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None))
    tries("changes its root", lambda: os.chroot("/tmp"))
    tries("makes a device", lambda: os.mknod("/tmp/device", 0o666 | stat.S_IFCHR, os.makedev(1, 1)))
    tries("changes the kernel", lambda: Path("/proc/sys/kernel/hostname").write_text("x"))
    tries("raises its limits", lambda: __import__("resource").setrlimit(7, (1 << 20, 1 << 20)))
    tries("writes a large file", writes_much)
    tries("starts any number of processes", many_processes)
    tries("leaves processes behind", leaves_processes)
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


def spec_of(path, served_as="sklearn"):
    signature = Signature(inputs=(TensorSpec(name="inputs", dtype="float64", shape=(-1, 1)),))
    return VersionSpec(
        version="1.0.0",
        artifact=str(path),
        digest="0" * 64,
        framework=served_as,
        served_as=served_as,
        signature=signature,
    )


class Service:
    """What a worker or a gateway has around it."""

    def __init__(self, folder):
        self.folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir(mode=0o700)
        self.mine, self.other, self.file = self.cache / "mine", self.cache / "other", folder / "modelmesh.db"
        self.other.write_bytes(b"the other model")
        self.file.write_bytes(b"hunter2")
        self.heard = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.named, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.named.bind(str(folder / "socket"))
        self.abstract.bind(f"\0{folder}")
        for one in (self.named, self.abstract):
            one.listen()
        # As a fork server of multiprocessing would lie there.
        self.fork_server = tempfile.mkdtemp(prefix="pymp-")
        self.in_temporary = socket.socket(socket.AF_UNIX)
        self.in_temporary.bind(f"{self.fork_server}/listener-x")
        self.in_temporary.listen()
        os.environ["MODELMESH_KAFKA_PASSWORD"] = "hunter2"
        self.neighbour = subprocess.Popen(["sleep", "1000"], env=os.environ)

    def known(self):
        """All that an attacker could have found out."""
        import modelmesh

        return {
            "secret": "hunter2",
            "pids": [os.getpid(), os.getppid(), self.neighbour.pid, 1],
            "root": os.geteuid() == 0,
            "temporary": tempfile.gettempdir(),
            "sockets": [str(self.folder / "socket")],
            "abstract": f"\0{self.folder}",
            "port": self.port,
            "folder": str(self.folder),
            "file": str(self.file),
            "other": str(self.other),
            "mine": str(self.mine),
            "package": str(Path(modelmesh.__file__).resolve().parent),
            "left_behind": LEFT_BEHIND,
            "file_bytes": LIMITS.file_bytes,
        }

    def damage(self, before):
        """What an attack did, as it is seen from here."""
        self.udp.setblocking(False)
        done = {
            "the neighbour ended": self.neighbour.poll() is not None,
            "the other artifact changed": self.other.read_bytes() != b"the other model",
            "its artifact changed": self.mine.read_bytes() != before,
            "something was written": [str(path) for path in self.folder.rglob("written-by-a-model")],
            "processes stayed": left_behind(),
        }
        with contextlib.suppress(BlockingIOError):
            done["a datagram came"] = bool(self.udp.recv(10))
        return [name for name, what in done.items() if what]

    def close(self):
        self.neighbour.kill()
        self.in_temporary.close()
        os.unlink(f"{self.fork_server}/listener-x")
        os.rmdir(self.fork_server)


def left_behind():
    return [
        process.pid for process in psutil.process_iter(["cmdline"]) if LEFT_BEHIND in (process.info["cmdline"] or [])
    ]


def served(service):
    service.mine.write_bytes(cloudpickle.dumps(Attacker(service.known())))
    before = service.mine.read_bytes()
    model = ServingProcess(service.mine, spec_of(service.mine), 1, LIMITS)
    import numpy as np

    worked = json.loads(str(model.predict({"inputs": np.full((1, 1), 42.0)})["value"][0]))
    stayed_while_served = bool(left_behind())
    model.close()
    wait_until(lambda: not left_behind())
    return {"worked": worked, "damage": service.damage(before), "stayed while served": stayed_while_served}


def proved(service):
    service.mine.write_bytes(cloudpickle.dumps(AttacksWhenLoaded(service.known())))
    before = service.mine.read_bytes()

    async def prove():
        try:
            await prove_in_fresh_process(
                service.mine, "sklearn", None, [[1.0]], True, service.folder / "form", limits=LIMITS, timeout=120
            )
        except RegistrationRefused as refused:
            return refused.detail

    detail = asyncio.run(prove())
    wait_until(lambda: not left_behind())
    return {"detail": detail, "damage": service.damage(before)}


def wait_until(done, seconds=30):
    waiting = threading.Event()
    for _ in range(10 * seconds):
        if done():
            return
        waiting.wait(0.1)


def main():
    folder, way = Path(sys.argv[1]), sys.argv[2]
    if way == "refused":
        print(json.dumps(what_is_refused()))
        return
    service = Service(folder)
    try:
        print(json.dumps({"served": served, "proved": proved}[way](service)))
    finally:
        service.close()


if __name__ == "__main__":
    main()
