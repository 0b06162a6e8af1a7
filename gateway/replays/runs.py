"""Run replays that are asked for over HTTP: one at a time, each in a process of its own, at low priority.

Not in the gateway's loop: a replay computes without a pause and holds the answers in memory. Where the processor or the
memory runs out it is the replay that waits or ends, and predictions go on.
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

from ...schemas.errors import ReplayFailed
from ...schemas.own_environment import handed_over

CHILD = (sys.executable, "-m", "modelmesh.replay.child")
NICENESS = 10
EVERY = 1.0
# Bytes of a line: a report has figures for each feature.
LONGEST_LINE = 64 * 2**20


async def run_replay(asked: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """Iterate over how far a replay is, every second at least, and in the end its whole document.

    `asked` are the options of `modelmesh replay` by name. Raises ReplayFailed with the reason. Whoever stops iterating stops
    the replay.
    """
    environment, rest = handed_over(os.environ)
    process = await asyncio.create_subprocess_exec(
        *CHILD, orjson.dumps(dict(asked)).decode(),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LONGEST_LINE,
    )  # fmt: skip
    # Both are pipes, as asked for above.
    stdin, lines = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    progress: dict[str, Any] = {}
    try:
        with contextlib.suppress(psutil.Error, OSError):
            psutil.Process(process.pid).nice(NICENESS)
            # Linux: where memory runs out, this goes before the gateway.
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("500")
        stdin.write(rest)
        stdin.close()
        while True:
            line = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    line = await lines.readline()
            if line is not None:
                said: dict[str, Any] = orjson.loads(line) if line else {"error": f"exit code {await process.wait()}"}
                if "error" in said:
                    raise ReplayFailed(" ".join(said["error"].split())[-500:])
                if "document" in said:
                    yield said["document"]
                    return
                progress = said["progress"]
            yield progress
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
