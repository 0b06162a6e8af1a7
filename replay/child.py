"""The process that a gateway starts for one replay.

Its argument is the replay's options as JSON; its environment comes over standard input. It writes one JSON document a line to
standard output: {"progress": ...} every second, and at the end {"document": ...} or {"error": "why"}.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import orjson

from ..schemas.errors import ModelMeshError
from ..schemas.own_environment import take_over


def main() -> None:
    """Run the replay and write its result. The gateway stops it by a signal; it also ends when the gateway dies."""
    take_over()
    # Models and libraries may print: their output goes to standard error, so that it does not mix with the JSON lines.
    lines = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def write(**line: Any) -> None:
        lines.write(orjson.dumps(line) + b"\n")
        lines.flush()

    # Imported here: they read the environment that take_over() completes.
    from ..schemas.settings.replay import ReplaySettings
    from .job import ReplayJob, ReplaySpec

    try:
        job = ReplayJob(
            ReplaySettings(),
            ReplaySpec.from_options(orjson.loads(sys.argv[1])),
            on_progress=lambda progress: write(progress=progress),
        )
        document = asyncio.run(job.run())
    except ModelMeshError as error:
        write(error=error.detail)
    except Exception as error:  # reported to the gateway, whatever it is
        write(error=f"unexpected error: {type(error).__name__}: {error}")
    else:
        write(document=document)


if __name__ == "__main__":
    main()
