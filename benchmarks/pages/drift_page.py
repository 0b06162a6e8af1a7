"""The section of docs/benchmarks.md on the drift alarm."""

from __future__ import annotations

from typing import Any

from .. import report


def page(figures: dict[str, Any]) -> str:
    """Return the section's text."""
    unchanged = [
        [name, found["windows"], f"{found['alarms']:.1f}", f"{found['upper']:.1f}", found["references_with_alarms"]]
        for name, found in figures["unchanged"].items()
    ]
    changed = [
        [name, f"{found['found']} of {found['runs']}", found.get("median", "-"), found.get("most", "-")]
        for name, found in figures["changed"].items()
    ]
    return "\n".join(
        [
            "The drift alarm on simulated streams: windows of 1,000 rows in eight summaries, at most one false alarm in 1,000 "
            "windows, the default. References have 5,000 rows where nothing else is said, and are drawn anew.",
            "",
            "Nothing changes:",
            "",
            report.table(
                ["stream", "windows", "alarms in 1,000", "upper 95 % bound", "references with alarms"], unchanged
            ),
            "",
            "Something changes, after six windows (a wave: after three days); missed if not found within 30 windows:",
            "",
            report.table(["change", "found", "windows, median", "at most"], changed),
        ]
    )


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """Return what is promised, what was measured, and whether that was met."""
    found = figures["unchanged"].items()
    return [
        [f"{name}: at most 1 alarm in 1,000 windows", f"{one['alarms']:.1f}", report.met(one["alarms"] <= 1)]
        for name, one in found
    ]
