"""The process that a gateway starts for one replay.

The replay's options are its argument, as JSON; its environment comes over standard input. To standard output it writes one JSON
document a line: {"progress": ...} every second, and at the end {"document": ...} or {"error": "why"}.
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
    """Run the replay and say what comes of it. The gateway ends it by a signal; without a gateway it ends by itself."""
    take_over()
    # What a model or a library prints must not come between the lines.
    lines = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def say(**line: Any) -> None:
        lines.write(orjson.dumps(line) + b"\n")
        lines.flush()

    # Not before the environment is whole, which these read.
    from ..schemas.settings.replay import ReplaySettings
    from .job import Asked, ReplayJob

    try:
        job = ReplayJob(
            ReplaySettings(), Asked.from_options(orjson.loads(sys.argv[1])), on_progress=lambda far: say(progress=far)
        )
        document = asyncio.run(job.run())
    except ModelMeshError as error:
        say(error=error.detail)
    except Exception as error:  # whatever it is, whoever asked is told
        say(error=f"this was not foreseen: {type(error).__name__}: {error}")
    else:
        say(document=document)


if __name__ == "__main__":
    main()
