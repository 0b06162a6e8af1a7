"""The releases' figures as tables, plots and aims."""

from __future__ import annotations

from statistics import median
from typing import Any

from .. import report


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    shadow, cost = figures["shadow"], figures["control_cost"]
    live = figures["drift"]
    parts = [
        *_gone_bad(figures["chaos"]),
        *_simulated(figures["simulation"]),
        "### Drift",
        f"On the real pipeline, at about 400 rows a second, the event came {live['seconds']:.1f} s and {live['rows']} rows after "
        "the shift of half a standard deviation.",
        "### A shadow's cost",
        f"The primary at 200 requests/s over Kafka, shadow off and on in turns, median p99 of {len(shadow['p99_off'])} rounds: "
        f"{median(shadow['p99_off']):.1f} ms off, {median(shadow['p99_on']):.1f} ms on. Of {shadow['copied']} copies "
        f"{shadow['paired_or_shed']} were paired or counted as shed ({shadow['shed']} shed).",
        "### What judging costs",
        report.table(
            ["requests/s", "control plane, share of a core"],
            [[f"{found['rate']:.0f}", f"{found['cores']:.1%}"] for found in cost.values()],
        ),
        "### Aims",
        report.table(["aim", "measured", "met"], aims(figures)),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _gone_bad(chaos: dict[str, Any]) -> list[str]:
    return [
        "### A candidate goes bad on the real pipeline",
        "200 requests/s over HTTP, a tenth of them to the candidate. Seconds are taken from the log: from the first request on "
        "which the candidate is bad to the last one that the router sends to it.",
        report.table(
            ["the candidate", "runs", "median s", "p95 s", "largest s", "bad requests", "answers", "failures seen by callers"],
            [
                [
                    name, found["runs"], f"{found['median']:.2f}", f"{found['p95']:.2f}", f"{found['largest']:.2f}",
                    f"{found['bad_requests']:.0f}", found["answered"], found["failures_seen"],
                ]
                for name, found in chaos.items()
            ],
        ),
        _chaos_plot(chaos),
    ]  # fmt: skip


def _simulated(simulation: dict[str, Any]) -> list[str]:
    limits = simulation["limits"]
    return [
        "### Simulated canaries",
        "10,000 canaries that are as good as stable, and 2,000 for each failure rate of a bad one, beside a stable version that "
        "fails on 1 %: 200 requests/s, a tenth to the candidate, checked every 250 ms for an hour. `Tuned` methods were tuned, "
        f"on 20,000 other canaries, to 1 % false rollbacks where stable fails on 1 %: evidence of {limits['evidence']:.0f} to 1, "
        f"a window above {limits['window']:.2%}, five polls above {limits['poll']:.2%}. The test as shipped is not tuned: its "
        "share of the 1 % for all comparisons is guaranteed at any failure rate.",
        report.table(
            ["false rollbacks", *(f"both fail on {float(rate):.1%}" for rate in simulation["false"])],
            [
                [method, *(f"{found[method]:.2%}" for found in simulation["false"].values())]
                for method in next(iter(simulation["false"].values()))
            ],
        ),
        report.table(
            ["mean bad answers until rollback", *(f"candidate fails on {float(rate):.0%}" for rate in simulation["bad"])],
            [
                [
                    method,
                    *(
                        f"{found[method]['mean_bad']:.1f}" + ("" if found[method]["found"] > 0.999 else
                        f" ({found[method]['found']:.0%} found)") for found in simulation["bad"].values()
                    ),
                ]
                for method in next(iter(simulation["bad"].values()))
            ],
        ),
    ]  # fmt: skip


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """Each aim with what was measured and whether that meets it."""
    chaos, simulation, shadow = figures["chaos"], figures["simulation"], figures["shadow"]
    costs = [found["cores"] for found in figures["control_cost"].values()]
    rows = []
    for name, found in chaos.items():
        rows.append([f"{name}: median at most 1 s", f"{found['median']:.2f} s", report.met(found["median"] <= 1)])
        rows.append([f"{name}: p95 at most 2 s", f"{found['p95']:.2f} s", report.met(found["p95"] <= 2)])
    seen = sum(found["failures_seen"] for found in chaos.values())
    rows.append(["failures seen by callers: 0", str(seen), report.met(seen == 0)])
    false = max(found["sequential test, as shipped"] for found in simulation["false"].values())
    rows.append(["false rollbacks: at most 1 %", f"{false:.2%}", report.met(false <= 0.01)])
    fewer = all(
        found["sequential test, tuned"]["mean_bad"] < found[other]["mean_bad"]
        for found in simulation["bad"].values()
        for other in ("window of 60 s, tuned", "poll, tuned")
    )
    rows.append(["at equal false rollbacks fewer bad answers than both, at every rate", "see above", report.met(fewer)])
    rows.append(["shadow on: p99 at most 1.2 times", f"{shadow['ratio']:.2f}", report.met(shadow["ratio"] <= 1.2)])
    all_paired = shadow["paired_or_shed"] == shadow["copied"]
    rows.append(
        ["every copy paired or shed", f"{shadow['paired_or_shed']} / {shadow['copied']}", report.met(all_paired)]
    )
    more = costs[-1] - costs[0]
    rows.append(["control plane: less than 20 % of a core more", f"{more:.1%}", report.met(more < 0.2)])
    return rows


def _chaos_plot(chaos: dict[str, Any]) -> str:
    lines = {}
    for name, found in chaos.items():
        ordered = sorted(found["seconds"])
        lines[name] = (ordered, [(number + 1) / len(ordered) for number in range(len(ordered))])
    figure = report.lines_plot(
        "From the first bad request to the last", "seconds", "share of runs", lines, xlim=(0, None), ylim=(0, 1)
    )
    return report.save_plot(figure, "rollback")
