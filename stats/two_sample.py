"""Does the candidate fail more often than stable? A sequential test, valid at any stopping time.

Requests are shared out at random, so if both arms fail equally often, which requests of a block were the candidate's is
independent of which of them failed: given the block's totals, the candidate's failures are hypergeometric. The alternative is
an odds ratio w > 1, under which they follow Fisher's noncentral hypergeometric distribution. The ratio of the two
likelihoods has expectation 1 while there is no difference and at most 1 while the candidate is better (monotone likelihood
ratio), whatever the common rate is and however it changes from block to block: an outage that hits both arms is no evidence.
The product over blocks is a test martingale, and so is its mean over several w; by Ville's inequality it ever exceeds 1/alpha
with a probability of at most alpha (Ville 1939; Turner, Ly, Gruenwald, "Generic E-variables for exact sequential k-sample
tests that allow for optional stopping", 2021; Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference",
2023). Where a block ends may depend on which requests failed, not on which arm they went to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

# Odds ratios over which the evidence is averaged. Each further one dilutes the others, so there are few: a true ratio
# between two of them, or beyond, is detected nearly as soon (benchmarks/simulations/canary_simulation.py).
RATIOS = (2.0, 4.0, 8.0, 30.0)


@lru_cache(maxsize=8192)
def block_log_ratios(
    candidate: int, candidate_failed: int, stable: int, stable_failed: int, ratios: Sequence[float] = RATIOS
) -> tuple[float, ...]:
    """Return the log likelihood ratio of each odds ratio against 1, from the counts of one block."""
    failed = candidate_failed + stable_failed
    if failed == 0 or candidate == 0 or stable == 0 or failed == candidate + stable:
        return (0.0,) * len(ratios)
    low, high = max(0, failed - stable), min(candidate, failed)
    # log of C(candidate, k) C(stable, failed - k), for each k that is possible.
    weights = [_log_choose(candidate, k) + _log_choose(stable, failed - k) for k in range(low, high + 1)]
    central = _log_sum(weights)
    found = []
    for ratio in ratios:
        tilt = math.log(ratio)
        total = _log_sum([weight + k * tilt for k, weight in enumerate(weights, low)])
        found.append(candidate_failed * tilt - total + central)
    return tuple(found)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


def nothing_seen() -> list[float]:
    """Return the evidence before the first block."""
    return [0.0] * len(RATIOS)


def add_block(
    logs: Sequence[float],
    candidate: int,
    candidate_failed: int,
    stable: int,
    stable_failed: int,
    *,
    limit: float = math.inf,
) -> list[float]:
    """Return the log ratios after one more block; the order of blocks does not matter.

    `limit` caps what a block adds to each log ratio, so that no single block decides when hits are correlated (latencies in a
    stall). It only lowers the evidence, so the guarantee holds.
    """
    gains = block_log_ratios(candidate, candidate_failed, stable, stable_failed)
    return [log + min(gain, limit) for log, gain in zip(logs, gains, strict=True)]


def log_evidence(logs: Sequence[float]) -> float:
    """Return the log of the evidence against "the candidate is no worse": the mean over the ratios."""
    return _log_sum(logs) - math.log(len(logs))
