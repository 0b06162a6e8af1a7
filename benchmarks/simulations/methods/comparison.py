"""The judge and the other methods on the same simulated trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import Pool
from typing import Any

import numpy as np

from ..judged.conditions import BAD, EQUAL, STANDARD, USERS
from ..judged.traffic import Traffic, requests
from ..judged.trials import rolled_back
from .table import METHODS

JUDGE = "ModelMesh"
PROCESSES = 2
MOST = 100  # trials of a condition
# Equal versions are watched for so long that all but two methods may decide; bad ones until the slowest has its last look.
EQUAL_SECONDS, BAD_SECONDS = 600.0, 1800.0
Say = Callable[[str], None]
_EQUAL = (
    "nothing special, 5/s",
    "nothing special, 100/s",
    "stalls of 0.5 s every 20 s, share 30 %",
    "stalls of 2 s every 60 s, share 30 %",
    "candidate cold for 3 s, share 50 %",
    "users with failure rates of their own",
    "one user with a fifth of the traffic, slow and failing",
    "5 % of the requests fail on any version",
    "load falls, both at a fifth of the latency",
    "stalls, cold candidate and users together",
)
_BAD = (
    "fails on 2 %",
    "fails on 5 %",
    "fails on all",
    "fails on 5 %, 1,000 users",
    "fails on 10 %, and 5 % of the requests on any",
    "twice as slow, 100/s",
    "three times as slow, 100/s",
    "three times as slow, with stalls",
)
TRAFFIC: dict[str, dict[str, Traffic]] = {
    "compared equal": {
        **{name: replace(EQUAL[name][0], seconds=EQUAL_SECONDS) for name in _EQUAL},
        "both fail on 2 %": Traffic(stable_fails=0.02, candidate_fails=0.02, seconds=EQUAL_SECONDS),
        "users with costs of their own": Traffic(users=USERS, user_cost=0.7, share=0.2, seconds=EQUAL_SECONDS),
    },
    "compared bad": {
        **{name: replace(BAD[name][0], seconds=BAD_SECONDS) for name in _BAD},
        "1.3 times as slow": Traffic(slower=1.3, seconds=BAD_SECONDS),
        "fifty times as slow": Traffic(slower=50, seconds=BAD_SECONDS),
    },
}


def simulate(
    say: Say, trials: int, before: dict[str, Any], only: str = "", processes: int = PROCESSES
) -> dict[str, Any]:
    """Return, by kind, condition and method, the seconds of all rollbacks; conditions without `only` in the name as `before`."""
    figures: dict[str, Any] = {kind: before.get(kind, {}) for kind in TRAFFIC}
    with Pool(processes) as pool:
        for kind, conditions in TRAFFIC.items():
            names = [name for name in conditions if only in f"{kind}: {name}"]
            run = partial(one_condition, kind, trials=trials if kind == "compared equal" else max(10, trials // 3))
            for name, found in zip(names, pool.imap(run, names), strict=True):
                figures[kind][name] = found
                counts = ", ".join(f"{method} {len(times)}" for method, times in found["seconds"].items())
                say(f"{name}, rollbacks in {found['trials']}: {counts}")
            figures[kind] = {name: figures[kind][name] for name in conditions if name in figures[kind]}
    return figures


def one_condition(kind: str, name: str, trials: int) -> dict[str, Any]:
    """Return the seconds at which each method rolled trials back, and how many trials there were."""
    traffic = TRAFFIC[kind][name]
    seconds: dict[str, list[float]] = {JUDGE: [], **{method.name: [] for method in METHODS}}
    for number in range(trials):
        random = np.random.default_rng([1, number])
        found = requests(traffic, random)
        for method in METHODS:
            if (at := method.rollback_at(found, traffic.seconds)) is not None:
                seconds[method.name].append(at)
        if (ended := rolled_back(found, traffic.share, STANDARD, random)) is not None:
            seconds[JUDGE].append(ended[0])
    return {"trials": trials, "seconds": seconds}
