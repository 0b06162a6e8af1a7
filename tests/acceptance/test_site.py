"""The documentation builds without a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)  # a minute where nothing else runs
def test_the_site_builds_strictly(tmp_path):
    (ROOT / ".build").mkdir(exist_ok=True)
    link = ROOT / ".build" / "modelmesh"
    if not link.exists():
        link.symlink_to("..")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "tutorial" / "index.html").exists()
    assert "predict_stream" in (tmp_path / "reference" / "client" / "index.html").read_text()
