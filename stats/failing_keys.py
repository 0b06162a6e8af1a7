"""Do more of the candidate's users fail? A sequential test between routing keys, valid at any stopping time.

Keys are assigned by a hash, independent of everything that the key's user does. If both versions fail on the same requests, then
whether a key that fails is the candidate's is a coin flip with the candidate's share as its probability, however often that user
asks, how often its requests fail, and when: the unit of assignment is the unit of analysis. The alternative is an odds ratio
w > 1. The likelihood ratio is a test martingale, averaged over several w; by Ville's inequality (1939) it ever exceeds 1/alpha
with a probability of at most alpha. It is at most that while the candidate fails on fewer.

A key counts once, with its first failure, so evidence could end once each has failed. It is therefore collected in windows,
each of which counts keys anew. A sum of test martingales with weights that add up to 1 is one too, however they depend on each
other: the first window has the weight FIRST, the later ones share the rest in proportion to 1 / (j (j + 1)).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .two_sample import RATIOS

FIRST = 0.9


class Windows(NamedTuple):
    """Log ratios of the current window by odds ratio; its number (0: none yet); weighted evidence of those before it."""

    logs: tuple[float, ...] = (0.0,) * len(RATIOS)
    number: int = 0
    ended: float = 0.0


def with_window(before: Windows) -> Windows:
    """Return the state at the start of another window."""
    return Windows(number=before.number + 1, ended=before.ended + _current(before))


def next_key(before: Windows, *, of_candidate: bool, share: float) -> Windows:
    """Return the state after a key's first failure; `share` of the keys are the candidate's (between 0 and 1)."""
    gains = ((math.log(ratio) if of_candidate else 0.0) - math.log1p(share * (ratio - 1)) for ratio in RATIOS)
    return before._replace(logs=tuple(log + gain for log, gain in zip(before.logs, gains, strict=True)))


def log_evidence(windows: Windows) -> float:
    """Return the log of the evidence against "its users fail no more often"."""
    started = _weights(windows.number) if windows.number else 0.0
    return math.log(windows.ended + _current(windows) + 1 - started)


def _weights(number: int) -> float:
    """Return the sum of the first windows' weights."""
    return 1 - (1 - FIRST) / number


def _current(windows: Windows) -> float:
    if not windows.number:
        return 0.0
    weight = _weights(windows.number) - (_weights(windows.number - 1) if windows.number > 1 else 0.0)
    return weight * sum(math.exp(min(log, 600.0)) for log in windows.logs) / len(windows.logs)
