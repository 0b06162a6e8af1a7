"""Where the machine refuses namespaces: what a model's process still gives up, what is said, and what it then can reach.

Run as a program, in a user namespace that allows no others, it serves a model there and prints what the model found.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import psutil
import pytest
from modelmesh.models.proof.proof import Limits
from modelmesh.models.sandbox.process import refused_restrictions
from modelmesh.models.serving_process import ServingProcess
from modelmesh.schemas.errors import Unavailable
from modelmesh.schemas.payloads.releases import VersionSpec
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

LEFT_BEHIND = "98764.1234"
MEMORY, LARGEST_FILE = 32 * 1024**3, 64 * 1024**2
# The kernel then answers as in a container that may make none.
NONE_ALLOWED = (
    'for kind in mnt pid net ipc uts user; do echo 0 > /proc/sys/user/max_${kind}_namespaces || exit 9; done; exec "$@"'
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux'")


class Looks:
    """A model that says in its answer what its process has and may."""

    def __init__(self, file, left_behind):
        self.file, self.left_behind = file, left_behind

    def predict(self, rows):
        import json
        import os
        import resource

        import numpy as np

        if rows[0, 0] != 42:  # not while it is warmed up
            return np.array(["" for _ in rows])
        with open("/proc/self/status") as status:
            has = dict(line.split(":\t", 1) for line in status.read().splitlines() if ":\t" in line)
        kinds = {
            fd: os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if int(fd) < 1000 and os.path.exists(f"/proc/self/fd/{fd}")
        }
        with open(self.file) as file:
            read = file.read()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execv("/bin/sleep", ["sleep", self.left_behind])
            os._exit(0)
        os.wait()
        found = {
            "rights": [has[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
            "no new privileges": has["NoNewPrivs"].strip(),
            "descriptors": sorted(kind.split(":")[0] for kind in kinds.values() if not kind.startswith("/dev/null")),
            "environment": sorted(os.environ.items()),
            "memory": resource.getrlimit(resource.RLIMIT_AS),
            "file": resource.getrlimit(resource.RLIMIT_FSIZE),
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "reads the service's file": read,
        }
        return np.array([json.dumps(found) for _ in rows])


def spec_of(path):
    signature = Signature(inputs=(TensorSpec(name="inputs", dtype="float64", shape=(-1, 1)),))
    return VersionSpec(
        version="1.0.0",
        artifact=str(path),
        digest="0" * 64,
        framework="sklearn",
        served_as="sklearn",
        signature=signature,
    )


def left_behind():
    return [each.pid for each in psutil.process_iter(["cmdline"]) if LEFT_BEHIND in (each.info["cmdline"] or [])]


def main(folder):
    """Serve the model, ask it, end it; print what was found."""
    import numpy as np

    os.environ["MODELMESH_KAFKA_PASSWORD"] = "hunter2"
    secret = folder / "modelmesh.db"
    secret.write_text("the service's")
    path = folder / "model"
    cloudpickle.register_pickle_by_value(sys.modules[Looks.__module__])
    path.write_bytes(cloudpickle.dumps(Looks(str(secret), LEFT_BEHIND)))
    try:
        ServingProcess(path, spec_of(path), 1, Limits(True, MEMORY, LARGEST_FILE, whole_sandbox=True))
        whole = "it ran"
    except Unavailable as error:
        whole = error.detail
    model = ServingProcess(path, spec_of(path), 1, Limits(True, MEMORY, LARGEST_FILE))
    (said,) = model.predict({"inputs": np.full((1, 1), 42.0)}).values()
    stayed = left_behind()
    model.close()
    until = time.monotonic() + 60
    while (left := left_behind()) and time.monotonic() < until:
        time.sleep(0.05)
    found = json.loads(str(said.ravel()[0]))
    print(
        json.dumps({"refused": refused_restrictions(), "whole": whole, "stayed": stayed, "left": left, "found": found})
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without")
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        NONE_ALLOWED,
        "sh",
        sys.executable,
        __file__,
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"HOME": str(folder)})
    if done.returncode == 9 or (done.returncode and done.stderr.startswith("unshare:")):
        pytest.skip(f"no user namespace can be made here to forbid others in: {done.stderr[:300]}")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_it_is_said_and_whole_means_no_code(seen):
    assert any(each.startswith("namespaces") for each in seen["refused"])
    assert "MODELMESH_SANDBOX=whole" in seen["whole"]
    assert "namespaces" in seen["whole"]


def test_what_needs_no_namespace_holds(seen):
    found = seen["found"]
    assert {int(rights, 16) for rights in found["rights"]} == {0}
    assert found["no new privileges"] == "1"
    assert found["descriptors"] == ["socket"], "its channel alone"
    assert "hunter2" not in str(found["environment"])
    assert (found["memory"], found["file"], found["core"]) == ([MEMORY] * 2, [LARGEST_FILE] * 2, [0, 0])


def test_what_it_started_ends_with_it(seen):
    assert seen["stayed"], "the process was never there: this shows nothing"
    assert seen["left"] == []


def test_what_does_not_hold_is_in_the_document(seen):
    assert seen["found"]["reads the service's file"] == "the service's"
    document = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    assert "has the service's user, files and network" in document.replace("\n", " ").replace("  ", " ")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
