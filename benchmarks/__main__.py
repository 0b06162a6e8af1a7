"""`python -m benchmarks NAME [PART ...]`: measure, print, write the section of docs/benchmarks.md."""

from __future__ import annotations

import sys

import uvloop

from . import (
    cache,
    canary_simulation,
    drift_simulation,
    faults,
    faults_page,
    overhead,
    pipeline,
    pipeline_page,
    releases,
    releases_page,
    report,
    sizing,
    soak,
    ways_in,
)


def run_pipeline(say: report.Clock) -> None:
    """The pipeline beside its floor."""
    figures = uvloop.run(pipeline.run(say))
    report.save("pipeline", "make bench", figures, pipeline_page.page(figures))
    _say_aims(say, pipeline_page.aims(figures))


LIVE_PARTS = ["chaos", "shadow", "control_cost", "drift"]
SIMULATIONS = {"drift_simulation": drift_simulation.simulate, "simulation": canary_simulation.simulate}


def run_releases(say: report.Clock) -> None:
    """Releases that judge themselves; parts named after the benchmark are run again, the others kept."""
    wanted = sys.argv[2:] or [*LIVE_PARTS, *SIMULATIONS]
    figures = report.saved("releases") if sys.argv[2:] else {}
    if any(part in LIVE_PARTS for part in wanted):
        figures |= uvloop.run(releases.run(say, wanted))
    figures |= {part: simulate(say) for part, simulate in SIMULATIONS.items() if part in wanted}
    report.save("releases", "make bench-release", figures, releases_page.page(figures))
    _say_aims(say, releases_page.aims(figures))


def run_faults(say: report.Clock) -> None:
    """Parts die under load; parts of the benchmark that are named are run again, the others kept."""
    wanted = sys.argv[2:] or ["faults", "balancing", "overload"]
    figures = report.saved("faults") if sys.argv[2:] else {}
    found = uvloop.run(faults.run(say, wanted))
    # One fault may be measured again by its name.
    figures = figures | found | {"faults": figures.get("faults", {}) | found.get("faults", {})}
    report.save("faults", "make bench-faults", figures, faults_page.page(figures))
    _say_aims(say, faults_page.aims(figures))


def run_soak(say: report.Clock) -> None:
    """A steady load for an hour, or MINUTES."""
    figures = uvloop.run(soak.run(say))
    report.save("soak", "make bench-soak", figures, soak.page(figures))


def run_cache(say: report.Clock) -> None:
    """The prediction cache."""
    figures = uvloop.run(cache.run(say))
    report.save("cache", "make bench-cache", figures, cache.page(figures))
    _say_aims(say, cache.aims(figures))


def run_overhead(say: report.Clock) -> None:
    """What metrics, logs and traces cost."""
    figures = uvloop.run(overhead.run(say))
    report.save("overhead", "make bench-overhead", figures, overhead.page(figures))
    _say_aims(say, overhead.aims(figures))


def run_sizing(say: report.Clock) -> None:
    """What each role takes for a request."""
    figures = uvloop.run(sizing.run(say))
    report.save("sizing", "make bench-sizing", figures, sizing.page(figures))


def run_ways_in(say: report.Clock) -> None:
    """Raw tensors against JSON, and replay."""
    figures = uvloop.run(ways_in.run(say))
    report.save("ways", "make bench-ways", figures, ways_in.page(figures))
    _say_aims(say, ways_in.aims(figures))


def _say_aims(say: report.Clock, aims: list[list[str]]) -> None:
    for aim, found, met in aims:
        say(f"{aim}: {found} ({met.strip('*')})")


BENCHMARKS = {
    "pipeline": run_pipeline,
    "releases": run_releases,
    "faults": run_faults,
    "soak": run_soak,
    "cache": run_cache,
    "overhead": run_overhead,
    "sizing": run_sizing,
    "ways": run_ways_in,
}

if __name__ == "__main__":
    BENCHMARKS[sys.argv[1]](report.Clock())
