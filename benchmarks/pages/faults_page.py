"""The faults' figures as tables and aims."""

from __future__ import annotations

from statistics import median
from typing import Any

from .. import report

ANSWERED_IN_A_SECOND = ("kill -9 a worker", "kill -9 a router")


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    parts = [report.table(["aim", "found", "met"], aims(figures))]
    if "faults" in figures:
        parts += _faults(figures["faults"])
    if "balancing" in figures:
        found = figures["balancing"]
        parts += [
            "### One of two replicas is ten times slower",
            "100 requests/s; a batch takes 20 ms in one worker and 200 ms in the other. Medians of three rounds, alternating; "
            "retries are off.",
            report.table(
                ["choice", "p50 ms", "p90 ms", "p99 ms", "errors"],
                [
                    [way, *(f"{median(run[f'p{rank}_ms'] for run in runs):.0f}" for rank in (50, 90, 99)),
                     sum(run["errors"] for run in runs)]
                    for way, runs in found["runs"].items()
                ],
            ),
        ]  # fmt: skip
    if "overload" in figures:
        found = figures["overload"]
        parts += [
            "### Twice the load",
            f"A batch of 8 takes 50 ms, so that two workers answer {found['peak']:.0f} requests/s at most; then "
            f"{found['offered']:.0f}/s are sent for a minute with a deadline of 4 s. Goodput {found['goodput']:.0f}/s. "
            f"Outcomes: {found['outcomes']}. Refusals came within {found['refused_p50_ms']:.0f} ms at the median and "
            f"{found['refused_p99_ms']:.0f} ms at p99; answers within {found['answered_p99_ms']:.0f} ms at p99.",
            report.table(
                ["resident memory", "MB before", "MB at most"],
                [
                    [name, f"{size:.0f}", f"{found['memory_mb_largest'][name]:.0f}"]
                    for name, size in found["memory_mb_before"].items()
                ],
            ),
        ]
    return "\n\n".join(parts)


def _faults(faults: dict[str, Any]) -> list[str]:
    return [
        "### Faults",
        "300 requests/s over HTTP, with two gateways, two routers and two workers. `longest` is the slowest answer of all runs, "
        "`gap` the longest time without any answer, `p99` that of the ten seconds after the fault (median of the runs). "
        "`normal after` is the time in seconds until the last answer that was an error, or that took more than 100 ms and more "
        "than three times the p99 before (median, largest). A caller whose gateway is down retries at the other one under the "
        "same id.",
        report.table(
            ["fault", "runs", "sent", "right", "errors", "wrong", "lost", "twice", "longest ms", "gap ms", "p99 ms",
             "normal after s"],
            [
                [
                    name, found["runs"], found["sent"], found["right"],
                    ", ".join(f"{code} {count}" for code, count in found["errors"].items()) or 0,
                    found["wrong"], found["lost"], found["twice"], f"{found['longest_ms']:.0f}",
                    f"{found['longest_gap_ms']:.0f}", f"{found['p99_ms']:.0f}",
                    f"{median(found['normal_after']):.1f}, {max(found['normal_after']):.1f}",
                ]
                for name, found in faults.items()
            ],
        ),
        "An audit of the log afterwards: every accepted request id must have an outcome in `replies` and one row in the "
        "inference log. `answered again` counts ids with more than one reply, of which all but the first were dropped; "
        "`contradicted` counts those whose answers differed.",
        report.table(
            ["fault", "accepted", "without outcome", "answered again", "contradicted", "rows", "rows without outcome"],
            [[name, *found["audit"].values()] for name, found in faults.items()],
        ),
    ]  # fmt: skip


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """Each aim, what was found, and whether it is met."""
    lines: list[list[str]] = []
    if "faults" in figures:
        faults = figures["faults"]
        for what in ("lost", "wrong", "twice"):
            total = sum(found[what] for found in faults.values())
            lines.append([f"{what}: 0 everywhere", str(total), report.met(total == 0)])
        rows = all(
            found["audit"]["rows"] == found["audit"]["accepted"] and not found["audit"]["rows_without_outcome"]
            for found in faults.values()
        )
        lines.append(["one row and one outcome for each accepted id", "yes" if rows else "no", report.met(rows)])
        for name in ANSWERED_IN_A_SECOND:
            if name in faults:
                errors, longest = sum(faults[name]["errors"].values()), faults[name]["longest_ms"]
                lines.append([f"{name}: errors 0", str(errors), report.met(errors == 0)])
                lines.append([f"{name}: longest answer under 1 s", f"{longest:.0f} ms", report.met(longest < 1000)])
        if "restart the broker" in faults:
            slowest = max(faults["restart the broker"]["normal_after"])
            lines.append(["broker restarted: normal within 10 s", f"{slowest:.1f} s", report.met(slowest <= 10)])
    if "balancing" in figures:
        found = figures["balancing"]
        for than in ("random", "round_robin"):
            better = found[f"better_than_{than}"]
            lines.append([f"p99 at least 3 times better than {than}", f"{better:.1f}", report.met(better >= 3)])
    if "overload" in figures:
        share = figures["overload"]["share_of_peak"]
        lines.append(
            ["goodput under twice the load at least 90 % of the peak", f"{share:.0%}", report.met(share >= 0.9)]
        )
    return lines
