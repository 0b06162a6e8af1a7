"""The wheel with nothing else: a client that predicts, and commands that name the extra they need."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

ROOT = Path(__file__).parents[2]
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")
ASK = """
from modelmesh.sdk import ModelMeshClient
with ModelMeshClient("http://127.0.0.1:{port}") as client:
    print(client.predict("fraud", {{"amount": 200}}).label)
"""


def run(*words):
    # Elsewhere, and without the tests' PYTHONPATH: in the tree, pip and Python would find the package there.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A fresh virtual environment's folder of programs, with the wheel and its bare requirements."""
    top = tmp_path_factory.mktemp("client")
    source = top / "source"
    left_out = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "benchmarks", "docs", "modelmesh-data")
    shutil.copytree(ROOT, source, ignore=left_out)
    built = run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(top), str(source)
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = top.glob("modelmesh-*.whl")
    assert run(sys.executable, "-m", "venv", str(top / "venv")).returncode == 0
    done = run(str(top / "venv/bin/python"), "-m", "pip", "install", "--quiet", str(wheel))
    if any(word in done.stderr for word in NO_NETWORK):
        pytest.skip("needs a network that reaches PyPI")
    assert done.returncode == 0, done.stderr
    return top / "venv" / "bin"


async def test_the_wheel_alone_predicts(folder):
    async def predict(request):
        asked = await request.json()
        return web.json_response(
            {"model": "fraud", "version": "1.0.0", "outputs": {"label": [asked["inputs"]["amount"] + 1]}}
        )

    app = web.Application()
    app.router.add_post("/predict/fraud", predict)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        done = await asyncio.to_thread(run, str(folder / "python"), "-c", ASK.format(port=port))
    finally:
        await runner.cleanup()
    assert (done.stdout, done.stderr) == ("201\n", "")


def test_what_is_not_installed_is_not_there_and_up_says_what_to_install(folder):
    assert "alembic" not in run(str(folder / "python"), "-m", "pip", "list").stdout
    done = run(str(folder / "modelmesh"), "up")
    assert done.returncode == 1
    assert done.stderr.endswith("pip install 'modelmesh[local]'\n")
    assert "Traceback" not in done.stderr
