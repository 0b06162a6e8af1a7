"""No process of a mesh shows a secret to those who look into /proc, and each that needs one has it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.cli.local.mesh import Mesh
from modelmesh.schemas.own_environment import handed_over, take_over
from modelmesh.schemas.settings import Settings

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
SECRETS = {
    "MODELMESH_KAFKA_PASSWORD": "hunter2",
    "MODELMESH_DATABASE": "postgresql://me:hunter2@there/db",
    "MODELMESH_WHATEVER_COMES": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
}
# What /proc shows is read by somebody who may, root or the process itself before it hides.
SAYS = """
import ctypes, json, os
from pathlib import Path
from modelmesh.schemas import own_environment
own_environment.hide_from_others = lambda: None
own_environment.take_over()
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
print(json.dumps({
    "shown": Path("/proc/self/environ").read_bytes().decode(),
    "python": dict(os.environ),
    "c": libc.getenv(b"AWS_SECRET_ACCESS_KEY").decode(),
    "password": __import__("modelmesh.schemas.settings", fromlist=["Settings"]).Settings().kafka_password.get_secret_value(),
}))
"""


def run(environment, **options):
    done = subprocess.run([sys.executable, "-c", SAYS], env=environment, capture_output=True, check=True, **options)
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", ["wiped", "handed over"])
def test_a_process_has_its_secrets_in_memory_alone(way):
    if way == "wiped":
        seen = run(os.environ | SECRETS)
    else:
        environment, rest = handed_over(os.environ | SECRETS)
        assert "hunter2" not in str(environment)
        seen = run(environment, input=rest)
    assert "PATH=" in seen["shown"]
    assert "hunter2" not in seen["shown"]
    assert seen["python"] == seen["python"] | SECRETS
    assert seen["c"] == seen["password"] == "hunter2"


def test_the_commands_take_over_before_anything_else(monkeypatch):
    from modelmesh.cli import main

    order = []
    monkeypatch.setattr(main, "take_over", lambda: order.append("take over"))
    monkeypatch.setattr(main, "app", lambda: order.append("the command"))
    main.main()
    assert order == ["take over", "the command"]
    assert take_over is not main.take_over


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root looks into processes that hide")
async def test_no_process_of_a_mesh_shows_a_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    settings = Settings(data=tmp_path, port=0, kafka_password="hunter2")
    async with Mesh(
        settings,
        workers=1,
        external_kafka=False,
        progress=no_progress,
        on_restart=lambda member, code: None,
    ) as mesh:
        shown = {}
        for member in mesh.supervisor.members:
            process = psutil.Process(member.pid)
            for one in (process, *process.children(recursive=True)):
                shown[f"{member.name} {one.name()}"] = Path(f"/proc/{one.pid}/environ").read_bytes()
            if member.role != "broker":  # whose process it is may be seen
                assert str(tmp_path).encode() in Path(f"/proc/{member.pid}/environ").read_bytes()
    assert any("java" in name for name in shown), sorted(shown)
    assert len(shown) >= 7
    assert [name for name, environment in shown.items() if b"hunter2" in environment] == []
