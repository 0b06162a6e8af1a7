"""The evidence of a canary over time, as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

_LEVELS = " .:-=+*#%@"
_WIDTH = 60


def print_difference(console: Console, found: Mapping[str, Any] | None) -> None:
    """Print by how much the candidate fails more often; nothing for a control plane that does not say it."""
    if found is None or found["estimate"] is None:
        return
    margin = "none" if found["margin"] is None else f"{found['margin']:.1%}"
    console.print(
        f"failure rate against stable's, in points: {found['estimate']:+.2%} ({found['low']:+.2%} to {found['high']:+.2%} "
        f"with {found['confidence']:.0%}, at whatever time you look); margin {margin}",
        highlight=False,
    )


def print_history(console: Console, history: Mapping[str, Any] | None) -> None:
    """Print a line for each comparison that ever had evidence of more than 1 to 1 against the candidate."""
    if not history or not history["points"]:
        return
    fields, points = history["fields"], history["points"]
    lines = []
    for place, name in enumerate(fields):
        if name == "seconds" or name.startswith("difference"):
            continue
        logs = [point[place] for point in points]
        if max(logs) > 0:
            lines.append(f"  {name:8}[{chart(logs)}] at most {math.exp(max(logs)):.3g} to 1")
    if lines:
        console.print(
            f"evidence against it over {points[-1][0]:.0f} s", *lines, sep="\n", highlight=False, markup=False
        )


def chart(logs: Sequence[float]) -> str:
    """Return a character for each of at most _WIDTH parts of the time: the higher the log evidence, the denser."""
    each = max(1, -(-len(logs) // _WIDTH))
    tops = [max(logs[start : start + each]) for start in range(0, len(logs), each)]
    highest = max(*logs, 1e-9)
    return "".join(_LEVELS[round(max(0.0, top) / highest * (len(_LEVELS) - 1))] for top in tops)
