"""Somebody's model, as it is proved: without the service's secrets, without a network, within limits."""

import json
import os
import socket
import subprocess
import sys

import joblib
import pytest
from modelmesh.models.proof import Limits, prove_in_fresh_process
from modelmesh.schemas.errors import RegistrationRefused

GIGABYTE = 1024**3
LOOKS_AROUND = """
import json, os, socket
from pathlib import Path
seen = {"environment": dict(os.environ)}
for who in ("self", str(os.getppid())):
    try:
        seen[who] = Path(f"/proc/{who}/environ").read_bytes().decode()
    except OSError as error:
        seen[who] = str(error)
try:
    socket.create_connection(("127.0.0.1", PORT), timeout=2)
    seen["network"] = True
except OSError as error:
    seen["network"] = False
Path("SEEN").write_text(json.dumps(seen))
"""


class Executes:
    """Executes code when it is unpickled."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


async def prove(path, tmp_path, **limits):
    allowed = Limits(**({"allow_pickles": True, "memory_bytes": 32 * GIGABYTE, "file_bytes": GIGABYTE} | limits))
    with pytest.raises(RegistrationRefused) as refused:
        await prove_in_fresh_process(
            path, "sklearn", None, [[1.0]], True, tmp_path / "compiled", limits=allowed, timeout=60
        )
    return refused.value.detail


def can_have_a_network_of_its_own():
    return subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0


def test_a_pickle_finds_no_secret_and_no_network(tmp_path):
    path, seen = tmp_path / "model.joblib", tmp_path / "seen.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = LOOKS_AROUND.replace("PORT", str(server.getsockname()[1])).replace("SEEN", str(seen))
        joblib.dump(Executes(code), path)
        # A service of its own, since the secret must be there from its start.
        script = (
            "import asyncio, pathlib, sys\n"
            "from modelmesh.models.proof import Limits, prove_in_fresh_process\n"
            "async def main():\n"
            "    limits = Limits(True, 32 * 1024**3, 1024**3)\n"
            "    path = pathlib.Path(sys.argv[1])\n"
            "    await prove_in_fresh_process(path, 'sklearn', None, [[1.0]], True, path, limits=limits, timeout=60)\n"
            "if __name__ == '__main__':\n"
            "    asyncio.run(main())\n"
        )
        program = tmp_path / "service.py"
        program.write_text(script)
        done = subprocess.run(
            [sys.executable, str(program), str(path)],
            env=os.environ | {"MODELMESH_KAFKA_PASSWORD": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert seen.exists(), done.stderr
    found = json.loads(seen.read_text())
    assert "hunter2" not in seen.read_text()
    assert "PATH" in found["environment"]
    if can_have_a_network_of_its_own():
        assert found["network"] is False


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("bytearray(40 * 1024**3)", {"memory_bytes": 8 * GIGABYTE}),
        ("open('/tmp/modelmesh-too-large', 'wb').write(bytes(3 * 1024**2))", {"file_bytes": 1024**2}),
        ("import os; os._exit(7)", {}),
    ],
)
async def test_what_takes_too_much_or_dies_is_refused_and_hurts_nobody(tmp_path, code, limits):
    path = tmp_path / "model.joblib"
    joblib.dump(Executes(code), path)
    assert await prove(path, tmp_path, **limits)


async def test_a_refused_pickle_is_said_to_be_one(tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(Executes("raise SystemExit"), path)
    assert "pickle" in await prove(path, tmp_path, allow_pickles=False)
