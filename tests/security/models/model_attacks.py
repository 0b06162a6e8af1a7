"""A service with secrets, files and neighbours, and a model that goes for them: prints as JSON what the model brought about.

Run as a program: `python model_attacks.py FOLDER WAY`, where the way is `served`, `proved` or `refused`.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import cloudpickle
import psutil
from modelmesh.models.proof.proof import Limits, prove_in_fresh_process
from modelmesh.models.sandbox.process import refused_restrictions
from modelmesh.models.serving_process import ServingProcess
from modelmesh.schemas.errors import RegistrationRefused
from modelmesh.schemas.payloads.releases import VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

if __package__:
    from . import hostile_model
else:
    import hostile_model

# Whole: where the machine does not keep the process apart, the attacks must not run at all.
LIMITS = Limits(allow_pickles=True, memory_bytes=32 * 1024**3, file_bytes=64 * 1024**2, whole_sandbox=True)
LEFT_BEHIND = "98765.4321"


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
    service.mine.write_bytes(cloudpickle.dumps(hostile_model.Attacker(service.known())))
    before = service.mine.read_bytes()
    model = ServingProcess(service.mine, spec_of(service.mine), 1, LIMITS)
    import numpy as np

    worked = json.loads(str(model.predict({"inputs": np.full((1, 1), 42.0)})["value"][0]))
    stayed_while_served = bool(left_behind())
    model.close()
    wait_until(lambda: not left_behind())
    return {"worked": worked, "damage": service.damage(before), "stayed while served": stayed_while_served}


def proved(service):
    service.mine.write_bytes(cloudpickle.dumps(hostile_model.AttacksWhenLoaded(service.known())))
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
    cloudpickle.register_pickle_by_value(hostile_model)
    folder, way = Path(sys.argv[1]), sys.argv[2]
    if way == "refused":
        print(json.dumps(refused_restrictions()))
        return
    service = Service(folder)
    try:
        print(json.dumps({"served": served, "proved": proved}[way](service)))
    finally:
        service.close()


if __name__ == "__main__":
    main()
