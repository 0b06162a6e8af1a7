"""The tutorial's blocks are run, in their order."""

import re
import subprocess
import sys
from pathlib import Path

import modelmesh.sdk

PAGE = (Path(__file__).parents[3] / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)


def test_the_tutorial_can_be_followed(mesh, monkeypatch, capsys):
    monkeypatch.setattr(modelmesh.sdk, "ModelMeshClient", lambda kind=modelmesh.sdk.ModelMeshClient: kind(mesh.url))
    names: dict[str, object] = {}
    said = []
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "tutorial.md", "exec"), names)
            said.append(capsys.readouterr().out.strip())
    names["client"].close()
    first, running, promoted, versions, rolled_back, judged = said
    assert first in ("0", "1")
    assert running == "running"
    assert promoted == "2.0.0"
    assert versions == "{'2.0.0'}"
    assert "rolled back" in rolled_back
    assert judged.startswith("rollback it fails more often")

    for name in ("kafka", "data", "database"):
        monkeypatch.setenv(f"MODELMESH_{name.upper()}", str(getattr(mesh.settings, name)))
    (line,) = [text.strip() for kind, text in BLOCKS if not kind and "replay" in text]
    command = line.removeprefix(".venv/bin/modelmesh ").split()
    done = subprocess.run([sys.executable, "-m", "modelmesh", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "agreement:" in done.stdout
