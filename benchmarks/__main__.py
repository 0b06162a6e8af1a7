"""`python -m benchmarks NAME [PART ...]`: measure, print, write the section of docs/benchmarks.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from . import cache, cost, dashboard, faults, newcomer, overhead, pipeline, releases, report, sizing, soak, ways_in
from .pages import comparison_page, drift_page, faults_page, pipeline_page, releases_page
from .simulations import canary_simulation, drift_simulation
from .simulations.drift_methods import comparison as drift_comparison
from .simulations.judged import table as judge_table
from .simulations.methods import comparison


def run_pipeline(say: report.Clock) -> None:
    """The pipeline beside its floor."""
    figures = uvloop.run(pipeline.run(say))
    report.save("pipeline", "make bench", figures, pipeline_page.page(figures))
    _say_aims(say, pipeline_page.aims(figures))


LIVE_PARTS = ["chaos", "shadow", "control_cost", "drift"]
SIMULATIONS = {"simulation": canary_simulation.simulate}


def run_releases(say: report.Clock) -> None:
    """Releases that judge themselves; parts named after the benchmark are run again, the others kept."""
    wanted = sys.argv[2:] or [*LIVE_PARTS, *SIMULATIONS]
    figures = report.saved("releases") if sys.argv[2:] else {}
    if any(part in LIVE_PARTS for part in wanted):
        figures |= uvloop.run(releases.run(say, wanted))
    figures |= {part: simulate(say) for part, simulate in SIMULATIONS.items() if part in wanted}
    report.save("releases", "make bench-release", figures, releases_page.page(figures))
    _say_aims(say, releases_page.aims(figures))


def run_drift(say: report.Clock) -> None:
    """The drift alarm on simulated streams, and beside other methods; PART=compared runs the second alone."""
    share = float(os.environ.get("SHARE") or "1")
    note = f" SHARE={share:g}" if share != 1 else ""
    compared = drift_comparison.simulate(say, share)
    report.save(
        "drift-compared",
        f"make bench-drift PART=compared{note}",
        compared,
        drift_comparison.page(compared),
        report.JUDGEMENT,
    )
    if os.environ.get("PART") == "compared":
        return
    figures = drift_simulation.simulate(say)
    command = f"make bench-drift{note}"
    report.save("drift", command, figures, drift_page.page(figures))
    _say_aims(say, drift_page.aims(figures))


def run_faults(say: report.Clock) -> None:
    """Parts die under load; parts of the benchmark that are named are run again, the others kept."""
    wanted = sys.argv[2:] or ["faults", "balancing", "overload"]
    figures = report.saved("faults") if sys.argv[2:] else {}
    found = uvloop.run(faults.run(say, wanted))
    # One fault may be measured again by its name.
    figures = figures | found | {"faults": figures.get("faults", {}) | found.get("faults", {})}
    report.save("faults", "make bench-faults", figures, faults_page.page(figures))
    _say_aims(say, faults_page.aims(figures))


def run_judge(say: report.Clock) -> None:
    """The judge alone and beside other methods; TRIALS for each condition, ONLY what has these words in its name."""
    trials, only = int(os.environ.get("TRIALS") or judge_table.TRIALS), os.environ.get("ONLY", "")
    before = report.saved("judge")
    figures = judge_table.simulate(say, trials, before, only)
    figures["compared"] = comparison.simulate(say, min(trials, comparison.MOST), before.get("compared", {}), only)
    body = judge_table.page(figures) + "\n\n" + comparison_page.page(figures["compared"])
    report.save("judge", "make bench-judge", figures, body, report.JUDGEMENT)


def run_whole(name: str, module: Any) -> Callable[[report.Clock], None]:
    """A benchmark without parts: it has `run`, `page` and perhaps `aims`."""

    def run(say: report.Clock) -> None:
        figures = uvloop.run(module.run(say))
        report.save(name, f"make bench-{name}", figures, module.page(figures))
        if hasattr(module, "aims"):
            _say_aims(say, module.aims(figures))

    return run


def _say_aims(say: report.Clock, aims: list[list[str]]) -> None:
    for aim, found, met in aims:
        say(f"{aim}: {found} ({met.strip('*')})")


WHOLE = {
    "soak": soak,
    "cache": cache,
    "cost": cost,
    "overhead": overhead,
    "sizing": sizing,
    "ways": ways_in,
    "dashboard": dashboard,
    "newcomer": newcomer,
}
BENCHMARKS = {
    "pipeline": run_pipeline,
    "releases": run_releases,
    "drift": run_drift,
    "faults": run_faults,
    "judge": run_judge,
    **{name: run_whole(name, module) for name, module in WHOLE.items()},
}

if __name__ == "__main__":
    if sys.argv[1] == "parity":
        from .parity.sweep import main

        sys.exit(1 if main() else 0)
    BENCHMARKS[sys.argv[1]](report.Clock())
