"""Run replays that are asked for over HTTP: one at a time, each in a process of its own, at low priority."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import orjson
import psutil

from ...replay.folder import ReplayFolder
from ...schemas.errors import ReplayFailed
from ...schemas.own_environment import handed_over

NICENESS = 10
EVERY = 1.0


async def run_replay(asked: Mapping[str, Any], folder: Path) -> AsyncGenerator[dict[str, Any], None]:
    """Iterate over how far a replay is, every second, and in the end its whole document.

    `asked` are the options of `modelmesh replay` by name. Raises ReplayFailed with what the command says. Whoever stops
    iterating stops the replay.
    """
    options = [word for name, value in asked.items() if value is not None for word in (f"--{name}", str(value))]
    environment, rest = handed_over(os.environ)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "modelmesh", "replay", *options, "--out", str(folder), "--json",
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        with contextlib.suppress(psutil.Error, OSError):
            psutil.Process(process.pid).nice(NICENESS)
            # Linux: where memory runs out, this goes before the gateway.
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("500")
        complaint = asyncio.create_task(process.communicate(rest))
        watched = ReplayFolder(folder)
        while not complaint.done():
            await asyncio.wait({complaint}, timeout=EVERY)
            yield watched.progress()
        said = complaint.result()[1].decode(errors="replace")
        if process.returncode:
            raise ReplayFailed(
                " ".join(said.removeprefix("error: ").split())[-500:] or f"exit code {process.returncode}"
            )
        yield orjson.loads((folder / "report.json").read_bytes())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await asyncio.to_thread(shutil.rmtree, folder, True)
