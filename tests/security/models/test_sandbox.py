"""Code in a model file reaches nothing but its own artifact, as root and as a plain user (what it tries: model_attacks.py)."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import modelmesh
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.models.proof.proof import Limits
from modelmesh.models.sandbox.channel import BrokenMessage, Channel, read_reply, read_tensors, write_tensors
from modelmesh.models.serving_process import ServingProcess
from modelmesh.schemas.errors import ModelFailed

from ...by_value import by_value
from . import model_attacks

ATTACKS = Path(__file__).with_name("model_attacks.py")
PLAIN_USER = 65534
LIMITS = Limits(allow_pickles=True, memory_bytes=32 * 1024**3, file_bytes=64 * 1024**2)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux'")


def as_plain_user(command):
    """Return a command line that runs this one as a user without rights, where this user is root.

    The Python that runs the tests may lie below a folder that is root's alone: it is shown in a mount namespace.
    """
    closed = [
        parent
        for parent in reversed(Path(os.path.realpath(sys.base_prefix)).parents)
        if parent != Path("/") and not parent.stat().st_mode & 0o001
    ]
    show = ""
    if closed:
        keep, prefix = f"/tmp/show-{os.getpid()}", os.path.realpath(sys.base_prefix)
        show = (
            f"mkdir -p {keep} && mount --bind {prefix} {keep} && mount -t tmpfs -o mode=755 tmpfs {closed[0]} && "
            f"mkdir -p {prefix} && mount --bind {keep} {prefix} && umount {keep} && rmdir {keep} && "
        )
    drop = f'exec setpriv --reuid={PLAIN_USER} --regid={PLAIN_USER} --clear-groups "$@"'
    return ["unshare", "--mount", "sh", "-c", show + drop, "sh", *command]


@pytest.fixture(params=["root", "a plain user"])
def run(request):
    """Run model_attacks.py in a way, as a user; skip where the machine cannot keep a process of that user's apart."""
    root = os.geteuid() == 0
    if request.param == "root" and not root:
        pytest.skip("the tests do not run as root")
    folder = Path(tempfile.mkdtemp(prefix="attacked-"))
    with_others = request.param == "a plain user" and root
    if with_others:
        os.chown(folder, PLAIN_USER, PLAIN_USER)

    def run_attacks(way):
        command = [sys.executable, str(ATTACKS), str(folder), way]
        done = subprocess.run(
            as_plain_user(command) if with_others else command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"HOME": str(folder)},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    try:
        if refused := run_attacks("refused"):
            pytest.skip(f"this machine refuses {request.param}: {refused}")
        yield run_attacks
    finally:
        shutil.rmtree(folder)


def test_a_served_model_reaches_nothing(run):
    found = run("served")
    failed = found["worked"].pop("failed")
    assert len(failed) > 30
    assert found["worked"] == {}
    assert found["damage"] == []
    assert found["stayed while served"], "the process that was left behind was never there: the test shows nothing"


def test_python_may_lie_below_tmp():
    folder = Path(tempfile.mkdtemp(prefix="environment-", dir="/tmp"))
    try:
        venv.create(folder / "python")
        (site,) = folder.glob("python/lib/python*/site-packages")
        (site / "modelmesh").symlink_to(Path(modelmesh.__file__).resolve().parent)
        (site / "tests.pth").write_text("\n".join(filter(os.path.isabs, sys.path)))
        refused = []
        for python in (sys.executable, folder / "python" / "bin" / "python"):
            command = [python, str(ATTACKS), str(folder), "refused"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            refused.append(json.loads(done.stdout))
        assert refused[1] == refused[0]
    finally:
        shutil.rmtree(folder)


def test_a_proved_model_reaches_nothing(run):
    found = run("proved")
    assert found["detail"].endswith("worked:"), found
    assert found["damage"] == []


# ---- what comes back is data


class SaysAnything:
    """A model that writes what it likes to the socket that it is asked over."""

    def __init__(self, said):
        self.said = said

    def predict(self, rows):
        import os

        import numpy as np

        if rows[0, 0] == 42:
            sockets = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
            (own,) = [int(fd) for fd in sockets if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")]
            os.write(own, self.said)
        return np.zeros(len(rows))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("/tmp/a-pickle-ran-in-the-service",)


def frame(header, body=b""):
    return len(header).to_bytes(4, "little") + len(body).to_bytes(8, "little") + header + body


SAID = {
    "a pickle": frame(pickle.dumps(Evil())),
    "a pickle in the body": frame(b'{"outputs": [["value", "O", [1]]]}', pickle.dumps(Evil())),
    "no JSON": frame(b"{"),
    "no object": frame(b"[]"),
    "deep": frame(b"[" * 1_000_00),
    "no arrays": frame(b'{"outputs": 7}'),
    "cut short": frame(b'{"outputs": [["value", "<f8", [1000]]]}', bytes(8)),
    "too large": (12).to_bytes(4, "little") + (1 << 60).to_bytes(8, "little") + bytes(12),
    "characters that are none": frame(b'{"outputs": [["value", "<U1", [1]]]}', b"\xff" * 4),
    "negative": frame(b'{"outputs": [["value", "<f8", [-1]]]}', bytes(8)),
}


@pytest.mark.parametrize("what", SAID)
def test_what_a_models_process_says_runs_nothing(what, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(by_value(SaysAnything(SAID[what])))
    model = ServingProcess(path, model_attacks.spec_of(path), 1, LIMITS)
    with contextlib.closing(model), pytest.raises(ModelFailed):
        model.predict({"inputs": np.full((1, 1), 42.0)})
    assert not os.path.exists("/tmp/a-pickle-ran-in-the-service")


@given(st.binary(max_size=400), st.binary(max_size=64))
def test_any_bytes_are_an_answer_or_a_broken_message(header, body):
    with contextlib.suppress(BrokenMessage):
        read_tensors(read_reply(header).get("outputs"), memoryview(body))


@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.text(max_size=6), st.lists(st.integers(-2, 1 << 70), max_size=4)), max_size=3
    ),
    st.binary(max_size=64),
)
def test_any_description_of_arrays_is_read_or_refused(said, body):
    with contextlib.suppress(BrokenMessage):
        for array in read_tensors(said, memoryview(body)).values():
            array.tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.array([], "f4"),
        np.array([True, False]),
        np.array(["a", "", "äöü𝄞"]),
        np.array(["2026-01-01", "NaT"], "M8[ns]"),
        np.array([1 + 2j]),
        np.arange(8)[::2],
        np.array(["x", None, 1, 2.5, True], object),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_come_back_as_they_went(array):
    there, here = map(Channel, socket.socketpair())
    said, body = write_tensors({"first": np.zeros(3, "i1"), "it": array})
    there.send(json.dumps({"outputs": said}).encode(), body)
    header, body = here.receive(1 << 20)
    back = read_tensors(read_reply(header)["outputs"], body)["it"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


# ---- it ends with the service

SERVES = """
import sys
from pathlib import Path
import modelmesh
import numpy as np
sys.path.insert(0, {folder!r})
import model_attacks
from modelmesh.models.serving_process import ServingProcess
path = Path(sys.argv[1])
model = ServingProcess(path, model_attacks.spec_of(path), 1, model_attacks.LIMITS)
print("ready", flush=True)
model.predict({{"inputs": np.full((1, 1), 42.0)}})
"""


class NeverAnswers:
    """A model that starts another process and then loops for ever."""

    def predict(self, rows):
        import subprocess

        import numpy as np

        if rows[0, 0] == 42:
            subprocess.Popen(["sleep", "98765.1234"], start_new_session=True)
            while True:
                pass
        return np.zeros(len(rows))


def running():
    return [one for one in psutil.process_iter(["cmdline"]) if "98765.1234" in (one.info["cmdline"] or [])]


def until(done):
    give_up = time.monotonic() + 60
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_service_that_is_killed_leaves_nothing_of_a_models_behind(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(by_value(NeverAnswers()))
    script = SERVES.format(folder=str(ATTACKS.parent))
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout.readline() == "ready\n"
        until(running)
        below = psutil.Process(service.pid).children(recursive=True)
        assert len(below) >= 3
        service.send_signal(signal.SIGKILL)
    until(lambda: not running() and not any(one.is_running() and one.status() != "zombie" for one in below))


class Dies:
    """A model that ends its process at the number 42."""

    def predict(self, rows):
        import os

        import numpy as np

        if rows[0, 0] == 42:
            os._exit(9)
        return np.zeros(len(rows))


def test_a_model_whose_process_died_is_there_for_the_next_batch(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(by_value(Dies()))
    with contextlib.closing(ServingProcess(path, model_attacks.spec_of(path), 1, LIMITS)) as model:
        with pytest.raises(ModelFailed, match="exit code 9"):
            model.predict({"inputs": np.full((1, 1), 42.0)})
        assert model.predict({"inputs": np.zeros((2, 1))})["value"].tolist() == [0.0, 0.0]
