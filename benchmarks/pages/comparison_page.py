"""The section of docs/judgement.md on the judge beside other methods."""

from __future__ import annotations

from statistics import median
from typing import Any

from ..report import table
from ..simulations.methods.comparison import BAD_SECONDS, EQUAL_SECONDS, JUDGE
from ..simulations.methods.table import METHODS

UNSEEN = "users and stalls that break its assumptions (above); a difference of latency within `latency_tolerance`"


def page(figures: dict[str, Any]) -> str:
    """Return the section's text."""
    return "\n\n".join(
        [
            "### Beside other methods",
            "The same simulated requests, given to each method. Each has the parameters of its own documentation "
            "(`benchmarks/simulations/methods/`, a file each, with the source); the two statistical tests have the judge's "
            "alpha of 1 %. What each cannot see:",
            "\n".join([f"- **{JUDGE}**: {UNSEEN}", *(f"- **{one.name}**: {one.unseen}" for one in METHODS)]),
            f"False rollbacks of equal versions in {EQUAL_SECONDS / 60:.0f} minutes. Argo Rollouts in the background cannot "
            "decide in that time (its fourth measurement comes after 20 minutes); Flagger every minute and Kayenta decide at "
            "its end.",
            _false(figures["compared equal"]),
            f"Bad candidates in {BAD_SECONDS / 60:.0f} minutes: the median of the seconds until the rollback, "
            "and how many were found if not all.",
            _found(figures["compared bad"]),
        ]
    )


def _columns() -> list[str]:
    return [JUDGE, *(method.name for method in METHODS)]


def _false(conditions: dict[str, Any]) -> str:
    rows = [
        [name, found["trials"], *(len(found["seconds"][column]) for column in _columns())]
        for name, found in conditions.items()
    ]
    return table(["equal versions", "trials", *_columns()], rows)


def _found(conditions: dict[str, Any]) -> str:
    rows = [
        [name, found["trials"], *(_cell(found["seconds"][column], found["trials"]) for column in _columns())]
        for name, found in conditions.items()
    ]
    return table(["candidate", "trials", *_columns()], rows)


def _cell(seconds: list[float], trials: int) -> str:
    if not seconds:
        return "not found"
    share = "" if len(seconds) == trials else f" ({len(seconds)} found)"
    return f"{median(seconds):.1f}{share}"
