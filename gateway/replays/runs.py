"""Run a replay that was started over HTTP in a separate process, at low priority.

A replay would block the gateway's event loop, and it holds all answers in memory. When CPU or memory runs short, the replay
slows down or is killed, and predictions are not affected.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, cast

import orjson
import psutil

from ...schemas.documents.replays import PROGRESS_SECONDS
from ...schemas.errors import ReplayFailed
from ...schemas.own_environment import handed_over

CHILD = (sys.executable, "-m", "modelmesh.replay.child")
NICENESS = 10
# Bytes. The longest line is the report, which has figures for each feature.
MAX_LINE_BYTES = 64 * 2**20


async def run_replay(options: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """Run a replay; yield its progress at least every second, and at the end its document.

    `options` are those of `modelmesh replay`, by name. Raises ReplayFailed with the reason. Closing the generator kills the
    process.
    """
    environment, rest = handed_over(os.environ)
    process = await asyncio.create_subprocess_exec(
        *CHILD, orjson.dumps(dict(options)).decode(),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=MAX_LINE_BYTES,
    )  # fmt: skip
    # Both are pipes; the type allows None.
    stdin, lines = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    progress: dict[str, Any] = {}
    try:
        with contextlib.suppress(psutil.Error, OSError):
            psutil.Process(process.pid).nice(NICENESS)
            # Linux: the kernel kills this process before the gateway when memory runs out.
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("500")
        stdin.write(rest)
        stdin.close()
        while True:
            line = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROGRESS_SECONDS):
                    line = await lines.readline()
            if line is not None:
                message: dict[str, Any] = orjson.loads(line) if line else {"error": f"exit code {await process.wait()}"}
                if "error" in message:
                    raise ReplayFailed(" ".join(message["error"].split())[-500:])
                if "document" in message:
                    yield message["document"]
                    return
                progress = message["progress"]
            yield progress
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
