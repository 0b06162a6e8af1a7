"""A model whose every answer costs memory for good, until it is killed for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

LEAKED_MB = 32
LEAKS_AFTER = 12


def leaky_model(path: Path) -> Path:
    """Write the model; return its path."""

    class Leaky:
        # Whoever runs it has no limit on memory here, so it does what the kernel's out-of-memory killer would do.
        kept: list[bytearray]

        def __init__(self) -> None:
            self.kept = []

        def predict(self, rows: Any) -> Any:
            if float(np.asarray(rows)[0, 0]) > 0:
                self.kept.append(bytearray(os.urandom(LEAKED_MB * 1024 * 1024)))
            if len(self.kept) >= LEAKS_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)
            return np.asarray(rows)[:, 0]

    path.write_bytes(cloudpickle.dumps(Leaky()))
    return path
