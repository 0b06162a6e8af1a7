"""A group-sequential test of two failure rates, with O'Brien-Fleming alpha spending.

Lan, DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70(3), 1983: by the share t of the planned
information alpha(t) = 2 (1 - Phi(z / sqrt(t))) is spent, z being the upper alpha/2 point. The boundaries follow from the
joint distribution of the looks, by numerical integration (Armitage, McPherson, Rowe, JRSS A 132, 1969). The statistic is the
z of two pooled proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from ..judged.traffic import Requests
from .method import looks, sums_at

_LOWEST, _POINTS = -6.0, 800
_SMALL = 1e-12  # so little to spend at a look that all looks before it do not matter


def spent(alpha: float, information: float) -> float:
    """Return the one-sided alpha that is spent at a share of the information from 0 to 1."""
    return float(2 * norm.sf(norm.isf(alpha / 2) / np.sqrt(information)))


@lru_cache(maxsize=64)
def boundaries(count: int, alpha: float) -> tuple[float, ...]:
    """Return the upper boundaries of z at `count` looks, equally far apart."""
    step, before, found = 1 / count, 0.0, []
    grid, mass = np.zeros(1), np.ones(1)  # of the score, a Brownian motion, while no boundary was crossed
    for number in range(1, count + 1):
        information = number / count
        now = spent(alpha, information)
        left, before = now - before, now

        def excess(score: float, grid: NDArray[np.float64] = grid, mass: NDArray[np.float64] = mass) -> float:
            return float((mass * norm.sf((score - grid) / np.sqrt(step))).sum())

        bound = norm.isf(left) * np.sqrt(information)
        if left > _SMALL:
            bound = brentq(lambda score: excess(score) - left, -3.0, 12.0)  # noqa: B023
        found.append(bound / np.sqrt(information))
        points = np.linspace(_LOWEST, min(bound, 6.0), _POINTS)
        width = points[1] - points[0]
        weights = np.full(_POINTS, width)
        weights[[0, -1]] /= 2
        density = norm.pdf((points[:, None] - grid[None, :]) / np.sqrt(step)) / np.sqrt(step)
        grid, mass = points, (density @ mass) * weights
    return tuple(map(float, found))


@dataclass(frozen=True)
class GroupSequential:
    """A look every `interval` seconds until the planned end; after it nothing is looked at."""

    alpha: float = 0.01
    interval: float = 10.0
    planned: float = 600.0
    name: str = "group-sequential"
    unseen: str = "no latency; takes requests as independent: no users; anything after its planned end (10 min)"

    def rollback_at(self, found: Requests, seconds: float) -> float | None:
        at = looks(self.interval, min(seconds, self.planned))
        n, m = (sums_at(found, arm, np.ones(len(found.done)), at) for arm in (True, False))
        failed, others = (sums_at(found, arm, found.failed.astype(float), at) for arm in (True, False))
        n, m = np.maximum(1, n), np.maximum(1, m)
        rate = (failed + others) / (n + m)
        error = np.sqrt(rate * (1 - rate) * (1 / n + 1 / m))
        z = np.divide(failed / n - others / m, error, out=np.zeros(len(at)), where=error > 0)
        crossed = z >= np.array(boundaries(int(self.planned / self.interval), self.alpha))[: len(at)]
        return float(at[np.argmax(crossed)]) if crossed.any() else None
