"""Are the candidate's losses larger than stable's? A sequential test without assumptions on their distribution.

In a block of requests that were assigned by the same shares, which losses are the candidate's is independent of the losses if
both versions are equally good. A loss becomes a *hit*: a wrong answer, or an error above a quantile of the whole block's. How
many hits are the candidate's is then hypergeometric, given the block's totals, and the likelihood ratios of `stats.two_sample`
are test martingales, and so is their mean over quantiles and odds ratios. A quantile of both arms' losses together says nothing
about the arms (Mood's median test: Mood, "Introduction to the theory of statistics", 1950).

Two quantiles are averaged: the median sees errors that are larger everywhere, the upper tenth those that are large in places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .two_sample import block_log_ratios

# Smaller than for failures: answers are wrong more often, and 80 % right against 90 % is an odds ratio of 2.25.
RATIOS = (1.25, 1.6, 2.5, 6.0)
MEDIAN, UPPER_TENTH = 0.5, 0.9
# By the kind of loss, above which quantiles a loss is a hit; None: above zero.
QUANTILES: dict[str, tuple[float | None, ...]] = {"right": (None,), "error": (MEDIAN, UPPER_TENTH)}

Block = Sequence[tuple[bool, float]]  # of each request: whether it is the candidate's, and its loss


def nothing_seen(kind: str) -> tuple[float, ...]:
    """Return the log ratios before the first block: RATIOS for each quantile."""
    return (0.0,) * (len(RATIOS) * len(QUANTILES[kind]))


def hits(block: Block, quantile: float | None) -> tuple[int, int]:
    """Return the hits of the candidate and of stable."""
    limit = 0.0
    if quantile is not None:
        limit = sorted(loss for _, loss in block)[math.ceil(quantile * len(block)) - 1]
    found = [candidate for candidate, loss in block if loss > limit]
    return sum(found), len(found) - sum(found)


def next_block(logs: Sequence[float], block: Block, kind: str) -> tuple[float, ...]:
    """Return the log ratios after one more block. Its size may depend on everything but on which requests are the candidate's."""
    candidate = sum(ours for ours, _ in block)
    gains: list[float] = []
    for quantile in QUANTILES[kind]:
        ours, theirs = hits(block, quantile)
        gains += block_log_ratios(candidate, ours, len(block) - candidate, theirs, RATIOS)
    return tuple(log + gain for log, gain in zip(logs, gains, strict=True))
