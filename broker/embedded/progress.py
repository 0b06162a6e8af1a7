"""How a long step tells how far it is: a callback, so that the CLI can draw a bar and a log can print lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# (what is being done, done so far, total or None); bytes for downloads.
Progress: TypeAlias = Callable[[str, float, float | None], None]


def no_progress(step: str, done: float, total: float | None) -> None:
    """Tell nobody."""
