"""The progress of a long step, as a callback: the CLI draws a bar, a log prints lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# (what is being done, done so far, total or None); bytes for downloads.
Progress: TypeAlias = Callable[[str, float, float | None], None]


def no_progress(step: str, done: float, total: float | None) -> None:
    """Ignore progress."""
