"""What a method of judging canaries is: a name, what it cannot see, and when it would roll a trial back."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..judged.traffic import Requests


class Method(Protocol):
    """A rule with fixed parameters. `unseen` says in words what it cannot see."""

    @property
    def name(self) -> str: ...

    @property
    def unseen(self) -> str: ...

    def rollback_at(self, found: Requests, seconds: float) -> float | None:
        """Return the second of the rollback in a trial of so many seconds; None if there is none."""
        ...


def looks(interval: float, seconds: float) -> NDArray[np.float64]:
    """Return the ends of all whole intervals of a trial."""
    ends: NDArray[np.float64] = interval * np.arange(1, int(seconds / interval + 1e-9) + 1, dtype=np.float64)
    return ends


def sums_at(
    found: Requests, of_candidate: bool, values: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of `values` (one a request) over one version's requests that were done by each time."""
    mine = found.candidate == of_candidate
    ends = np.searchsorted(found.done[mine], at, side="right")
    sums: NDArray[np.float64] = np.r_[0.0, np.cumsum(values[mine])][ends]
    return sums
