"""Run the judge under all conditions and describe them: part of `python -m benchmarks judge`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from typing import Any

import numpy as np

from ...report import table
from .conditions import BAD, EQUAL
from .trials import Trials, judged

TRIALS = 300
PROCESSES = 2
CONDITIONS = {"equal": EQUAL, "bad": BAD}
Say = Callable[[str], None]


def simulate(
    say: Say, trials: int, before: dict[str, Any], only: str = "", processes: int = PROCESSES
) -> dict[str, Any]:
    """Return the figures by condition; conditions without `only` in "equal: NAME" or "bad: NAME" are as `before`."""
    figures: dict[str, Any] = {kind: before.get(kind, {}) for kind in CONDITIONS}
    with Pool(processes) as pool:
        for kind, conditions in CONDITIONS.items():
            run = partial(_run, trials=trials if kind == "equal" else max(10, trials // 3))
            names = [(kind, name) for name in conditions if only in f"{kind}: {name}"]
            for name, found in pool.imap(run, names):
                traffic = conditions[name][0]
                figures[kind][name] = _figures(found) | {"rate": traffic.rate, "share": traffic.share}
                say(f"{name}: {len(found.seconds)} of {found.trials} rolled back, upper bound {found.bound:.1%}")
            figures[kind] = {name: figures[kind][name] for name in conditions if name in figures[kind]}
    return figures


def _run(named: tuple[str, str], trials: int) -> tuple[str, Trials]:
    kind, name = named
    traffic, rules = CONDITIONS[kind][name]
    return name, judged(traffic, rules, trials)


def _figures(found: Trials) -> dict[str, Any]:
    known = bool(found.seconds)
    return {
        "trials": found.trials,
        "rolled_back": len(found.seconds),
        "bound": found.bound,
        "median_seconds": float(np.median(found.seconds)) if known else None,
        "ninth_decile_seconds": float(np.quantile(found.seconds, 0.9)) if known else None,
        "median_requests": float(np.median(found.requests)) if known else None,
        "reasons": list(found.reasons[:3]),
    }


def page(figures: dict[str, Any]) -> str:
    """Return the section of docs/judgement.md."""
    equal = [
        [name, f"{found['rolled_back']} of {found['trials']}", f"{found['bound']:.1%}"]
        for name, found in figures["equal"].items()
    ]
    bad = [
        [
            name,
            f"{found['rolled_back']} of {found['trials']}",
            *(
                "-" if value is None else f"{value:.{digits}f}"
                for value, digits in (
                    (found["median_seconds"], 1),
                    (found["ninth_decile_seconds"], 1),
                    (found["median_requests"], 0),
                )
            ),
        ]
        for name, found in figures["bad"].items()
    ]
    return "\n\n".join(
        [
            "The judge's own evidence and decisions over the summaries that two workers would send, with the default rules: "
            "100 requests/s, a tenth of them the candidate's, 60 s, unless the row says otherwise. Latency is log-normal with a "
            "median of 10 ms and a p95 of 19 ms; a stall delays all requests of one version; 1,000 users have Zipf shares.",
            "Two equal versions. The bound is the upper 95 % bound of the share:",
            table(["condition", "rolled back", "bound"], equal),
            "Bad candidates; seconds from the beginning of the trial, or of the slowness. In the first three seconds of a trial "
            "slowness does not count, which is part of these times:",
            table(["candidate", "found", "median s", "nine tenths within s", "median of its requests"], bad),
        ]
    )
