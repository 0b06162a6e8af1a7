"""A newcomer's path, timed: clone, install, up, and the tutorial's blocks one after the other, on a home that is empty."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import report

ROOT = Path(__file__).parent.parent
# Runs in the clone's own Python: the blocks of the page in their order, each with its time.
DRIVER = """
import contextlib, io, json, re, time
from pathlib import Path
blocks = re.findall(r"```python\\n(.*?)```", Path("docs/tutorial.md").read_text(), re.DOTALL)
names, found = {}, []
for block in blocks:
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block, "tutorial.md", "exec"), names)
    found.append(time.perf_counter() - began)
names["client"].close()
print(json.dumps(found))
"""
BLOCKS = (
    "register the first model, predict",
    "register a second version, start a canary, 100 predictions",
    "promote it, predict",
    "register a broken version, start a canary, 200 predictions",
    "see that it was rolled back",
    "judge it again",
)


async def run(say: report.Clock) -> dict[str, Any]:
    """Go the whole way once."""
    steps: list[tuple[str, float]] = []

    def step(what: str, seconds: float) -> None:
        steps.append((what, round(seconds, 1)))
        say(f"{what}: {seconds:.1f} s")

    with tempfile.TemporaryDirectory(prefix="modelmesh-newcomer-") as folder:
        clone = Path(folder) / "modelmesh"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELMESH_")}
        environment |= {"HOME": folder, "PIP_NO_CACHE_DIR": "1"}

        def command(what: str, *words: str, cwd: Path = clone) -> str:
            began = time.perf_counter()
            done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
            step(what, time.perf_counter() - began)
            return done.stdout

        command("git clone", "git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
        command("make install", "make", "install")
        began = time.perf_counter()
        with (Path(folder) / "up.log").open("wb") as log:
            up = await asyncio.create_subprocess_exec(
                ".venv/bin/modelmesh",
                "up",
                "--json",
                cwd=clone,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert up.stdout is not None
        try:
            ready = json.loads(await up.stdout.readline())
            step("modelmesh up (Kafka is downloaded), until it is ready", time.perf_counter() - began)
            environment |= {"MODELMESH_URL": ready["url"], "MODELMESH_KAFKA": ready["kafka"]}
            command("modelmesh doctor", ".venv/bin/modelmesh", "doctor")
            done = await asyncio.create_subprocess_exec(
                ".venv/bin/python", "-c", DRIVER, cwd=clone, env=environment, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await done.communicate()
            if done.returncode:
                raise SystemExit("a block of the tutorial failed")
            for what, seconds in zip(BLOCKS, json.loads(output), strict=True):
                step(what, seconds)
            (line,) = re.findall(r"^\.venv/bin/(modelmesh replay .*)$", (clone / "docs/tutorial.md").read_text(), re.M)
            command("replay", ".venv/bin/modelmesh", *line.split()[1:])
        finally:
            if up.returncode is None:
                up.send_signal(signal.SIGINT)
            began = time.perf_counter()
            await up.wait()
        step("Ctrl-C, until everything has stopped", time.perf_counter() - began)
    return {"steps": steps, "python": sys.version.split()[0]}


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    steps = figures["steps"]
    whole = sum(seconds for _, seconds in steps)
    install = sum(seconds for what, seconds in steps if what in ("git clone", "make install"))
    return "\n\n".join(
        [
            f"From a clone to a replay in {whole / 60:.1f} minutes, {install / 60:.1f} of them the install (PyTorch's CUDA "
            "build and the development tools among it), with an empty home: nothing is cached. The steps are those of the "
            "[tutorial](tutorial.md), run from its text; reading and typing not counted.",
            report.table(["step", "seconds"], [[what, f"{seconds:.1f}"] for what, seconds in steps]),
        ]
    )
